-- Migration 0005: a sparser graph for new indexes, a wider search for all queries (decision 16).
-- Indexes that are there stay as they are.

-- The one place for what a graph is built with: `register_model` and `hangtag model index` ask here.
CREATE FUNCTION hangtag_data.hnsw_options() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS
$$ SELECT 'm = 12, ef_construction = 64' $$;

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
                   'USING hnsw (embedding public.halfvec_cosine_ops) WITH (%s)',
                   partition || '_hnsw_idx', partition, hangtag_data.hnsw_options());
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

-- Beside the settings of before: candidates of a search, for every query in plain SQL. pgvector's own
-- default of 40 finds too few of the nearest among a million. One that somebody chose for this
-- database stays.
CREATE OR REPLACE FUNCTION hangtag_data.set_database() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM '[1]'::public.vector; -- loads the library, which makes its settings known
    EXECUTE format('ALTER DATABASE %I SET hnsw.iterative_scan = strict_order', current_database());
    EXECUTE format('ALTER DATABASE %I SET hnsw.max_scan_tuples = 2147483647', current_database());
    EXECUTE format('ALTER DATABASE %I SET hnsw.scan_mem_multiplier = 64', current_database());
    IF NOT EXISTS (
        SELECT FROM pg_db_role_setting AS s, unnest(s.setconfig) AS one
        WHERE s.setrole = 0 AND one LIKE 'hnsw.ef\_search=%'
            AND s.setdatabase = (SELECT oid FROM pg_database
                                 WHERE datname = current_database())
    ) THEN
        EXECUTE format('ALTER DATABASE %I SET hnsw.ef_search = 160', current_database());
    END IF;
END $$;

REVOKE EXECUTE ON FUNCTION hangtag_data.hnsw_options FROM PUBLIC;
