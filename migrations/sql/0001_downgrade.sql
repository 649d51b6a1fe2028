-- Takes migration 0001 back. Alembic's own table in hangtag_data stays.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I RESET hnsw.iterative_scan', current_database());
    EXECUTE format('ALTER DATABASE %I RESET hnsw.max_scan_tuples', current_database());
    EXECUTE format('ALTER DATABASE %I RESET hnsw.scan_mem_multiplier', current_database());
END $$;
DROP SCHEMA hangtag CASCADE;
DROP TABLE hangtag_data.decisions, hangtag_data.previews, hangtag_data.review_items,
    hangtag_data.operators, hangtag_data.embeddings, hangtag_data.tags, hangtag_data.predictions,
    hangtag_data.model_versions, hangtag_data.labels, hangtag_data.uploads;
DROP FUNCTION hangtag_data.refuse_change, hangtag_data.show_generation,
    hangtag_data.register_model, hangtag_data.activate_model, hangtag_data.set_database;
REVOKE ALL ON SCHEMA hangtag_data FROM hangtag_worker, hangtag_operator;
