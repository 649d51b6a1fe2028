-- Takes migration 0005 back. Indexes built since stay: their parameters are their own, and those of
-- before work with any.

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

CREATE OR REPLACE FUNCTION hangtag_data.set_database() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM '[1]'::public.vector; -- loads the library, which makes its settings known
    EXECUTE format('ALTER DATABASE %I SET hnsw.iterative_scan = strict_order', current_database());
    EXECUTE format('ALTER DATABASE %I SET hnsw.max_scan_tuples = 2147483647', current_database());
    EXECUTE format('ALTER DATABASE %I SET hnsw.scan_mem_multiplier = 64', current_database());
END $$;

DROP FUNCTION hangtag_data.hnsw_options;
