-- Migration 0003: new vectors go to a part of their generation that has no HNSW index. Vectors of
-- generation N are fresh under the number -N, and in the index under N (decision 0013). So the
-- primary key, and with it each program of before, stays as it is.

-- The row of an upload guards its vectors: whoever writes one holds that row for key share at
-- least, who moves one to the index locks it for update. Without that a vector that is written
-- while its older self is moved would be there twice. Programs of before are taken along: what they
-- write into the index itself becomes fresh.
CREATE FUNCTION hangtag_data.keep_one_vector() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM hangtag_data.uploads AS u WHERE u.id = NEW.upload_id FOR KEY SHARE;
    IF NEW.generation > 0 AND current_setting('hangtag.keep', true) = 'on' THEN
        -- A backfill, which leaves alone what came meanwhile.
        INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding,
                article_type, sub_category, master_category)
            VALUES (-NEW.generation, NEW.upload_id, NEW.item, NEW.embedding,
                NEW.article_type, NEW.sub_category, NEW.master_category)
            ON CONFLICT ON CONSTRAINT embeddings_pkey DO NOTHING;
        RETURN NULL;
    END IF;
    IF NEW.generation > 0 THEN
        INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding,
                article_type, sub_category, master_category)
            VALUES (-NEW.generation, NEW.upload_id, NEW.item, NEW.embedding,
                NEW.article_type, NEW.sub_category, NEW.master_category)
            ON CONFLICT ON CONSTRAINT embeddings_pkey DO UPDATE SET
                embedding = excluded.embedding, article_type = excluded.article_type,
                sub_category = excluded.sub_category,
                master_category = excluded.master_category;
        RETURN NULL;
    END IF;
    -- A statement of its own: it sees what was moved while the one above waited.
    DELETE FROM hangtag_data.embeddings AS e
        WHERE e.upload_id = NEW.upload_id AND e.item = NEW.item
            AND e.generation = -NEW.generation;
    RETURN NEW;
END $$;

-- Called by whoever may change the table; only new generations get one later.
CREATE FUNCTION hangtag_data.add_fresh_part(generation integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text := format('embeddings_g%s_fresh', generation);
BEGIN
    EXECUTE format('CREATE TABLE hangtag_data.%I '
                   '(LIKE hangtag_data.embeddings INCLUDING DEFAULTS INCLUDING CONSTRAINTS) '
                   -- It is read as a whole by each query, so what was moved out must not stay long.
                   'WITH (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.1, '
                   'autovacuum_analyze_threshold = 200, autovacuum_analyze_scale_factor = 0.05)',
                   part);
    EXECUTE format('ALTER TABLE hangtag_data.%I OWNER TO hangtag_owner', part);
    EXECUTE format('ALTER TABLE hangtag_data.embeddings ATTACH PARTITION hangtag_data.%I '
                   'FOR VALUES IN (%s)', part, -generation);
END $$;

CREATE OR REPLACE FUNCTION hangtag_data.show_generation(generation integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The generation is a constant of the view, so the planner sees its two parts and merges a
    -- sorted scan of the fresh one with the index of the other; a switch of models is this one
    -- statement.
    EXECUTE format(
        'CREATE OR REPLACE VIEW hangtag.image_embeddings AS '
        'SELECT upload_id AS image_id, item, embedding, article_type, sub_category, '
        'master_category FROM hangtag_data.embeddings WHERE generation IN (%s, %s)',
        generation, -generation);
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
    -- Made alone and attached then: beside readers, where CREATE TABLE … PARTITION OF would wait for
    -- them. Writers under way are waited for, because of the foreign key.
    EXECUTE format('CREATE TABLE hangtag_data.%I '
                   '(LIKE hangtag_data.embeddings INCLUDING DEFAULTS INCLUDING CONSTRAINTS) '
                   -- The planner must learn early that a scan has become dearer than the index.
                   'WITH (autovacuum_analyze_threshold = 200, '
                   'autovacuum_analyze_scale_factor = 0.05)', partition);
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
    EXECUTE format('ALTER TABLE hangtag_data.%I OWNER TO hangtag_owner', partition);
    EXECUTE format('ALTER TABLE hangtag_data.embeddings ATTACH PARTITION hangtag_data.%I '
                   'FOR VALUES IN (%s)', partition, number);
    PERFORM hangtag_data.add_fresh_part(number);
    RETURN number;
END $$;

REVOKE EXECUTE ON FUNCTION hangtag_data.keep_one_vector, hangtag_data.add_fresh_part FROM PUBLIC;
