-- Before the downgrade of 0003: most of what is fresh is moved in small steps, beside everybody;
-- workers go on writing, so the last few are left to the locked part. Each step is committed.
DO $$
DECLARE
    ids uuid[];
    moved integer;
BEGIN
    LOOP
        ids := ARRAY(
            SELECT u.id FROM hangtag_data.uploads AS u
            JOIN hangtag_data.embeddings AS e ON e.upload_id = u.id
            WHERE e.generation < 0 LIMIT 200 FOR UPDATE OF u SKIP LOCKED);
        UPDATE hangtag_data.embeddings AS e SET generation = -e.generation
            WHERE e.generation < 0 AND e.upload_id = ANY(ids);
        GET DIAGNOSTICS moved = ROW_COUNT;
        COMMIT;
        EXIT WHEN moved < 50;
    END LOOP;
END $$;
