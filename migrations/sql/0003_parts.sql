-- Migration 0003, part 2: the fresh parts and the trigger, under locks.

-- In the order of those who write: each has the uploads before the vectors, a decision and a
-- reopening by their foreign keys. In another order this would deadlock with them. Readers go on.
-- An autovacuum gives way after deadlock_timeout, which is shorter than the lock timeout.
LOCK TABLE hangtag_data.uploads IN EXCLUSIVE MODE;
LOCK TABLE hangtag_data.embeddings IN SHARE ROW EXCLUSIVE MODE;

SELECT hangtag_data.add_fresh_part(generation) FROM hangtag_data.model_versions;

-- Who moves vectors to the index says so, and is let through.
CREATE TRIGGER embeddings_keep_one BEFORE INSERT ON hangtag_data.embeddings
    FOR EACH ROW WHEN (current_setting('hangtag.folding', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION hangtag_data.keep_one_vector();
