-- Migration 0004, part 1: an item is written first, its preview drawn later.

-- One table, locked before anything else is done: nobody waits for us who has what we want.
LOCK TABLE hangtag_data.review_items IN ACCESS EXCLUSIVE MODE;

-- Null where nothing is owed, as of all items of before, of reopened ones, and of those that
-- workers of before write together with their preview.
ALTER TABLE hangtag_data.review_items ADD COLUMN preview_due timestamptz;
ALTER TABLE hangtag_data.review_items ADD COLUMN preview_tries SMALLINT DEFAULT 0 NOT NULL;

-- In the order of the queue, what operators may be given and what is to be drawn. The index of
-- all open items stays: readers of review_queue use it.
CREATE INDEX review_items_drawn_idx ON hangtag_data.review_items (priority desc, created_at, id)
    WHERE status = 'open' AND preview_due IS NULL;

CREATE INDEX review_items_owed_idx ON hangtag_data.review_items (priority desc, created_at, id)
    WHERE status = 'open' AND preview_due IS NOT NULL;

-- What a worker does that cannot draw a preview: the item is withdrawn, its upload a dead letter.
-- A worker may do that to items that owe their preview, and change nothing else of an item. `due`
-- is the fence: it changes with each try. Items first, uploads last, as the console does.
CREATE FUNCTION hangtag_data.give_up_preview(
    item_id bigint, due timestamptz, code text, reason text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given_up hangtag_data.review_items;
BEGIN
    UPDATE hangtag_data.review_items AS i
        SET status = 'withdrawn', preview_due = NULL, claimed_by = NULL, lease_until = NULL
        WHERE i.id = item_id AND i.status = 'open' AND i.preview_due = due
        RETURNING i.* INTO given_up;
    IF given_up.id IS NULL THEN
        RETURN false;
    END IF;
    -- One that an earlier attempt drew has no item any more: it is swept up with later decisions.
    UPDATE hangtag_data.previews AS p SET kept_until = now()
        WHERE p.upload_id = given_up.upload_id AND p.item = given_up.item
            AND p.kept_until IS NULL;
    UPDATE hangtag_data.uploads AS u
        SET status = 'dead', error_code = code, error = reason, finished_at = now()
        WHERE u.id = given_up.upload_id AND u.status = 'review';
    RETURN true;
END $$;
