-- Takes migration 0004 back. A console of before would hand out items without a picture, so those
-- that owe one are withdrawn, and their uploads begin anew: a worker of before draws with the result.
LOCK TABLE hangtag_data.review_items IN ACCESS EXCLUSIVE MODE;
-- Rows of uploads under review alone: a worker that waits for the table above holds rows that it
-- found in another state.
WITH owing AS (
    UPDATE hangtag_data.review_items
        SET status = 'withdrawn', claimed_by = NULL, lease_until = NULL
        WHERE status = 'open' AND preview_due IS NOT NULL
        RETURNING upload_id
)
UPDATE hangtag_data.uploads AS u
    SET status = 'pending', attempts_before = attempt, available_at = now(), finished_at = NULL,
        error = NULL
    FROM owing WHERE u.id = owing.upload_id AND u.status = 'review';
DROP FUNCTION hangtag_data.give_up_preview;
REVOKE UPDATE (preview_due, preview_tries) ON hangtag_data.review_items FROM hangtag_worker;
-- With the indexes on them.
ALTER TABLE hangtag_data.review_items DROP COLUMN preview_due;
ALTER TABLE hangtag_data.review_items DROP COLUMN preview_tries;
