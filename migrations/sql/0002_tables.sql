-- Migration 0002, part 1: tables and columns, all of them additions.

-- Everything that is altered here is locked first, in the order of those who use it: a reader takes
-- the view before its table, workers and consoles begin with review_items and end with previews. In
-- another order this would deadlock with them.

-- Without it a reader's own cheap function is called for rows before they are filtered out, and
-- sees the model's guesses about items that were decided long ago.
ALTER VIEW hangtag.review_queue SET (security_barrier = true);

LOCK TABLE hangtag_data.review_items, hangtag_data.decisions, hangtag_data.operators,
    hangtag_data.previews IN ACCESS EXCLUSIVE MODE;

ALTER TABLE hangtag_data.operators ADD COLUMN role TEXT DEFAULT 'operator' NOT NULL;
ALTER TABLE hangtag_data.operators ADD CONSTRAINT operators_role_check
    CHECK (role in ('operator', 'lead'));

-- Until when a decided item's picture is kept, so that a lead may reopen the decision.
ALTER TABLE hangtag_data.previews ADD COLUMN kept_until timestamptz;
CREATE INDEX previews_kept_idx ON hangtag_data.previews (kept_until) WHERE kept_until IS NOT NULL;

-- What 'no fashion item' took away, kept as long as the picture.
CREATE TABLE hangtag_data.withdrawn (
    review_item_id BIGINT NOT NULL,
    tags JSONB NOT NULL,
    vectors JSONB NOT NULL,
    kept_until timestamptz NOT NULL,
    CONSTRAINT withdrawn_pkey PRIMARY KEY (review_item_id),
    CONSTRAINT withdrawn_review_item_id_fkey FOREIGN KEY(review_item_id) REFERENCES hangtag_data.review_items (id)
);

CREATE INDEX withdrawn_kept_idx ON hangtag_data.withdrawn (kept_until);

CREATE TABLE hangtag_data.console_sessions (
    token_hash TEXT NOT NULL,
    operator TEXT NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT console_sessions_pkey PRIMARY KEY (token_hash),
    CONSTRAINT console_sessions_operator_fkey FOREIGN KEY(operator) REFERENCES hangtag_data.operators (name)
);

CREATE INDEX console_sessions_expires_at_idx ON hangtag_data.console_sessions (expires_at);

CREATE TABLE hangtag_data.login_attempts (
    key TEXT NOT NULL,
    failures INTEGER NOT NULL,
    last_at timestamptz DEFAULT now() NOT NULL,
    blocked_until timestamptz,
    CONSTRAINT login_attempts_pkey PRIMARY KEY (key)
);

CREATE INDEX login_attempts_last_at_idx ON hangtag_data.login_attempts (last_at);

CREATE TABLE hangtag_data.audit_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at timestamptz DEFAULT now() NOT NULL,
    actor TEXT,
    action TEXT NOT NULL,
    subject TEXT,
    upload_id UUID,
    review_item_id BIGINT,
    address TEXT,
    detail JSONB DEFAULT '{}' NOT NULL,
    login TEXT DEFAULT session_user NOT NULL,
    CONSTRAINT audit_log_pkey PRIMARY KEY (id)
);

CREATE INDEX audit_log_actor_idx ON hangtag_data.audit_log (actor, id desc);

CREATE INDEX audit_log_subject_idx ON hangtag_data.audit_log (subject, id desc);

CREATE INDEX audit_log_action_idx ON hangtag_data.audit_log (action, id desc);

CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON hangtag_data.audit_log FOR EACH STATEMENT EXECUTE FUNCTION hangtag_data.refuse_change();
