-- Takes migration 0002 back: its tables and columns go, the rights are those of before.
ALTER VIEW hangtag.review_queue RESET (security_barrier);
LOCK TABLE hangtag_data.review_items, hangtag_data.decisions, hangtag_data.operators,
    hangtag_data.previews IN ACCESS EXCLUSIVE MODE; -- in the order of those who write
DROP TRIGGER operators_audit ON hangtag_data.operators;
DROP TRIGGER decisions_audit ON hangtag_data.decisions;
DROP FUNCTION hangtag_data.audit_operator, hangtag_data.audit_decision,
    hangtag_data.reopen_review_item, hangtag_data.limit_readers;
DROP TABLE hangtag_data.audit_log, hangtag_data.login_attempts, hangtag_data.console_sessions,
    hangtag_data.withdrawn;
-- What is decided had no preview before.
DELETE FROM hangtag_data.previews WHERE kept_until IS NOT NULL;
ALTER TABLE hangtag_data.previews DROP COLUMN kept_until;
ALTER TABLE hangtag_data.operators DROP COLUMN role;
ALTER FUNCTION hangtag_data.set_database() RESET search_path;
ALTER FUNCTION hangtag_data.refuse_change() RESET search_path;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
GRANT UPDATE ON hangtag_data.uploads, hangtag_data.review_items, hangtag_data.previews
    TO hangtag_worker;
GRANT INSERT ON hangtag_data.decisions TO hangtag_operator;
GRANT SELECT ON hangtag_data.predictions TO hangtag_operator;
