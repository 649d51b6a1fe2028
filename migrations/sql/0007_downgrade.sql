-- Gives back the graph of migration 0005 for new indexes.

CREATE OR REPLACE FUNCTION hangtag_data.hnsw_options() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS
$$ SELECT 'm = 12, ef_construction = 64' $$;
