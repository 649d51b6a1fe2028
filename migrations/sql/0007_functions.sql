-- Migration 0007: as many links as before migration 0005. With 12 a gallery of 44,000 or 200,000 was
-- searched as well; of a million no width of a search found more than 0.93 of the nearest (decision 16).
-- Indexes that are there stay as they are.

CREATE OR REPLACE FUNCTION hangtag_data.hnsw_options() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS
$$ SELECT 'm = 16, ef_construction = 64' $$;
