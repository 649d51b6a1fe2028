-- Takes migration 0006 back.

CREATE OR REPLACE FUNCTION hangtag.submit_uploads(
    uris text[], source text, external_ids text[], priority integer DEFAULT 0
) RETURNS TABLE (place bigint, id uuid, status text, created boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    new_ids uuid[];
BEGIN
    IF source IS NULL OR length(source) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'source must have 1 to 200 characters' USING ERRCODE = 'HT001';
    END IF;
    IF cardinality(uris) IS DISTINCT FROM cardinality(external_ids) THEN
        RAISE EXCEPTION 'name as many external_ids as uris, null where there is none'
            USING ERRCODE = 'HT001';
    END IF;
    IF EXISTS (SELECT FROM unnest(uris) AS u (uri)
               WHERE u.uri IS NULL OR length(u.uri) NOT BETWEEN 1 AND 2048) THEN
        RAISE EXCEPTION 'a uri must have 1 to 2048 characters' USING ERRCODE = 'HT001';
    END IF;
    IF EXISTS (SELECT FROM unnest(external_ids) AS e (name) WHERE length(e.name) > 4096) THEN
        RAISE EXCEPTION 'an external_id may have 4096 characters at most' USING ERRCODE = 'HT001';
    END IF;
    IF priority IS NULL OR priority NOT BETWEEN -100 AND 100 THEN
        RAISE EXCEPTION 'priority must lie between -100 and 100' USING ERRCODE = 'HT001';
    END IF;
    new_ids := ARRAY(SELECT gen_random_uuid() FROM unnest(uris));
    -- In the order of external_id, so that two overlapping submissions cannot deadlock.
    INSERT INTO hangtag_data.uploads (id, source, external_id, uri, priority)
        SELECT w.id, submit_uploads.source, w.external_id, w.uri, submit_uploads.priority
        FROM unnest(new_ids, uris, external_ids) AS w (id, uri, external_id)
        ORDER BY w.external_id
        ON CONFLICT (source, external_id) DO NOTHING;
    -- A statement of its own: it sees rows that another session committed meanwhile.
    RETURN QUERY
        SELECT w.place, found.id, found.status, found.id = w.id
        FROM unnest(new_ids, external_ids) WITH ORDINALITY AS w (id, external_id, place)
        CROSS JOIN LATERAL (
            SELECT u.id, u.status FROM hangtag_data.uploads AS u WHERE u.id = w.id
            UNION ALL
            SELECT u.id, u.status FROM hangtag_data.uploads AS u
                WHERE u.source = submit_uploads.source AND u.external_id = w.external_id
            LIMIT 1
        ) AS found
        ORDER BY w.place;
END $$;
