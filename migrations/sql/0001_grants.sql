-- Migration 0001, part 4: who may do what. Everything belongs to hangtag_owner.

REVOKE ALL ON SCHEMA hangtag, hangtag_data FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA hangtag, hangtag_data FROM PUBLIC;

-- Readers: published columns alone.
GRANT USAGE ON SCHEMA hangtag
    TO hangtag_reader, hangtag_producer, hangtag_worker, hangtag_operator;
GRANT SELECT ON ALL TABLES IN SCHEMA hangtag TO hangtag_reader, hangtag_worker, hangtag_operator;
GRANT EXECUTE ON FUNCTION hangtag.similar_images TO hangtag_reader, hangtag_operator;

-- Producers: hand in, and see what became of it.
GRANT EXECUTE ON FUNCTION hangtag.submit_upload, hangtag.submit_uploads
    TO hangtag_producer, hangtag_worker;
GRANT SELECT ON hangtag.upload_status TO hangtag_producer;

-- Workers: claim and write; they delete nothing but what a newer result replaces.
GRANT USAGE ON SCHEMA hangtag_data TO hangtag_worker, hangtag_operator;
GRANT SELECT, UPDATE ON hangtag_data.uploads TO hangtag_worker;
GRANT SELECT ON hangtag_data.labels, hangtag_data.model_versions TO hangtag_worker;
GRANT SELECT, INSERT, UPDATE ON
    hangtag_data.predictions, hangtag_data.embeddings, hangtag_data.previews TO hangtag_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON hangtag_data.tags TO hangtag_worker;
GRANT SELECT, INSERT, UPDATE ON hangtag_data.review_items TO hangtag_worker;

-- Operators (the console): claim, decide, publish what they decided.
GRANT SELECT ON
    hangtag_data.uploads, hangtag_data.labels, hangtag_data.predictions, hangtag_data.operators
    TO hangtag_operator;
GRANT UPDATE (status, finished_at) ON hangtag_data.uploads TO hangtag_operator;
GRANT SELECT ON hangtag_data.review_items TO hangtag_operator;
GRANT UPDATE (status, claimed_by, lease_until, decided_at, priority)
    ON hangtag_data.review_items TO hangtag_operator;
GRANT SELECT, DELETE ON hangtag_data.previews TO hangtag_operator;
GRANT SELECT, INSERT ON hangtag_data.decisions TO hangtag_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON hangtag_data.tags TO hangtag_operator;
GRANT SELECT, DELETE ON hangtag_data.embeddings TO hangtag_operator;
GRANT UPDATE (article_type, sub_category, master_category)
    ON hangtag_data.embeddings TO hangtag_operator;
