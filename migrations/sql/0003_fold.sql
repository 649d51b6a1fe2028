-- Before the downgrade of 0003: most of what is fresh is moved in small steps, beside everybody.
-- One step; the migration calls it until it moves nothing.
WITH held AS MATERIALIZED (
    SELECT e.upload_id, e.item, e.generation
    FROM hangtag_data.uploads AS u JOIN hangtag_data.embeddings AS e ON e.upload_id = u.id
    WHERE e.generation < 0
    LIMIT 200 FOR UPDATE SKIP LOCKED
)
UPDATE hangtag_data.embeddings AS e SET generation = -h.generation
    FROM held AS h
    WHERE e.upload_id = h.upload_id AND e.item = h.item AND e.generation = h.generation;
