-- Migration 0002, part 3: who may do what with the new, and less of the old than before.

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC; -- of what comes later, too
REVOKE EXECUTE ON FUNCTION hangtag_data.audit_decision, hangtag_data.audit_operator,
    hangtag_data.reopen_review_item, hangtag_data.limit_readers FROM PUBLIC;

-- Workers: where an upload came from is not theirs to change; review items they only add.
REVOKE UPDATE ON hangtag_data.uploads FROM hangtag_worker;
GRANT UPDATE (status, attempt, attempts_before, available_at, lease_until, claimed_by, error_code,
    error, finished_at) ON hangtag_data.uploads TO hangtag_worker;
REVOKE UPDATE ON hangtag_data.review_items FROM hangtag_worker;
REVOKE UPDATE ON hangtag_data.previews FROM hangtag_worker;
GRANT UPDATE (jpeg, kept_until) ON hangtag_data.previews TO hangtag_worker;

-- Operators: nobody chooses when a decision was taken; predictions are not theirs to read.
REVOKE INSERT ON hangtag_data.decisions FROM hangtag_operator;
GRANT INSERT (review_item_id, upload_id, item, attribute, action, label, suggested, confidence,
    model_version, operator) ON hangtag_data.decisions TO hangtag_operator;
REVOKE SELECT ON hangtag_data.predictions FROM hangtag_operator;
GRANT UPDATE (kept_until) ON hangtag_data.previews TO hangtag_operator;
GRANT SELECT, INSERT, DELETE, UPDATE (kept_until) ON hangtag_data.withdrawn TO hangtag_operator;
GRANT SELECT, INSERT, DELETE ON hangtag_data.console_sessions TO hangtag_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON hangtag_data.login_attempts TO hangtag_operator;
-- Neither the time of an entry nor the login that wrote it can be chosen.
GRANT SELECT, INSERT (actor, action, subject, upload_id, review_item_id, address, detail)
    ON hangtag_data.audit_log TO hangtag_operator;
GRANT EXECUTE ON FUNCTION hangtag_data.reopen_review_item TO hangtag_operator;
