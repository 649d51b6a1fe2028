-- Takes migration 0003 back: what is still fresh is moved to the index, the fresh parts go.

-- Readers have the view before its tables, writers the uploads before the vectors.
ALTER VIEW hangtag.image_embeddings RESET (security_barrier);
LOCK TABLE hangtag_data.uploads IN EXCLUSIVE MODE;
LOCK TABLE hangtag_data.embeddings IN ACCESS EXCLUSIVE MODE;

SET LOCAL hangtag.folding = 'on';
-- A parallel build of an index fails where /dev/shm is small.
SET LOCAL max_parallel_maintenance_workers = 0;
UPDATE hangtag_data.embeddings SET generation = -generation WHERE generation < 0;
-- What a decision took away comes back under the number that there is then.
UPDATE hangtag_data.withdrawn AS w SET vectors = (
    SELECT jsonb_agg(v.one || jsonb_build_object('generation', abs((v.one ->> 'generation')::int))
                     ORDER BY v.place)
    FROM jsonb_array_elements(w.vectors) WITH ORDINALITY AS v (one, place))
    WHERE jsonb_path_exists(w.vectors, '$[*] ? (@.generation < 0)');
DROP TRIGGER embeddings_keep_one ON hangtag_data.embeddings;
DO $$
DECLARE
    number integer;
    broken regclass;
BEGIN
    FOR number IN SELECT m.generation FROM hangtag_data.model_versions AS m LOOP
        EXECUTE format('DROP TABLE hangtag_data.%I', format('embeddings_g%s_fresh', number));
        -- Before, each generation had its index; no command of that release makes one.
        FOR broken IN
            SELECT x.indexrelid::regclass FROM pg_index AS x
                JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_am AS a ON a.oid = i.relam
            WHERE x.indrelid = format('hangtag_data.embeddings_g%s', number)::regclass
                AND a.amname = 'hnsw' AND NOT x.indisvalid
        LOOP
            EXECUTE format('DROP INDEX %s', broken);
        END LOOP;
        IF NOT EXISTS (
            SELECT FROM pg_index AS x
                JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_am AS a ON a.oid = i.relam
            WHERE x.indrelid = format('hangtag_data.embeddings_g%s', number)::regclass
                AND a.amname = 'hnsw'
        ) THEN
            EXECUTE format('CREATE INDEX %I ON hangtag_data.%I '
                           'USING hnsw (embedding public.halfvec_cosine_ops) '
                           'WITH (m = 16, ef_construction = 64)',
                           format('embeddings_g%s_hnsw_idx', number),
                           format('embeddings_g%s', number));
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION hangtag_data.show_generation(generation integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The generation is a constant of the view, so the planner sees one partition and its
    -- index; a switch of models is this one statement.
    EXECUTE format(
        'CREATE OR REPLACE VIEW hangtag.image_embeddings AS '
        'SELECT upload_id AS image_id, item, embedding, article_type, sub_category, '
        'master_category FROM hangtag_data.embeddings WHERE generation = %s', generation);
END $$;

CREATE OR REPLACE FUNCTION hangtag_data.register_model(version text, card jsonb) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number integer;
    partition text;
BEGIN
    INSERT INTO hangtag_data.model_versions (version, card)
        VALUES (register_model.version, register_model.card)
        ON CONFLICT ON CONSTRAINT model_versions_pkey DO NOTHING
        RETURNING generation INTO number;
    IF number IS NULL THEN
        SELECT m.generation INTO number FROM hangtag_data.model_versions AS m
            WHERE m.version = register_model.version;
        RETURN number;
    END IF;
    partition := format('embeddings_g%s', number);
    EXECUTE format('CREATE TABLE hangtag_data.%I PARTITION OF hangtag_data.embeddings '
                   'FOR VALUES IN (%s) '
                   -- The planner must learn early that a scan has become dearer than the index.
                   'WITH (autovacuum_analyze_threshold = 200, '
                   'autovacuum_analyze_scale_factor = 0.05)', partition, number);
    EXECUTE format('CREATE INDEX %I ON hangtag_data.%I '
                   'USING hnsw (embedding public.halfvec_cosine_ops) '
                   'WITH (m = 16, ef_construction = 64)',
                   partition || '_hnsw_idx', partition);
    -- For filters on a rare category the planner takes one of these and sorts exactly.
    EXECUTE format('CREATE INDEX %I ON hangtag_data.%I (article_type)',
                   partition || '_article_type_idx', partition);
    EXECUTE format('CREATE INDEX %I ON hangtag_data.%I (sub_category)',
                   partition || '_sub_category_idx', partition);
    EXECUTE format('CREATE INDEX %I ON hangtag_data.%I (master_category)',
                   partition || '_master_category_idx', partition);
    RETURN number;
END $$;

SELECT hangtag_data.show_generation(
    coalesce((SELECT m.generation FROM hangtag_data.model_versions AS m WHERE m.active), 0));
DROP FUNCTION hangtag_data.keep_one_vector, hangtag_data.add_fresh_part;
