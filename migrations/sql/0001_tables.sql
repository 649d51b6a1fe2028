-- Migration 0001, part 2: the tables. db/tables.py says what each column means.

CREATE TABLE hangtag_data.uploads (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    source TEXT NOT NULL,
    external_id TEXT,
    uri TEXT NOT NULL,
    priority SMALLINT DEFAULT 0 NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    attempt INTEGER DEFAULT 0 NOT NULL,
    attempts_before INTEGER DEFAULT 0 NOT NULL,
    available_at timestamptz DEFAULT now() NOT NULL,
    lease_until timestamptz,
    claimed_by TEXT,
    error_code TEXT,
    error TEXT,
    created_at timestamptz DEFAULT now() NOT NULL,
    finished_at timestamptz,
    CONSTRAINT uploads_pkey PRIMARY KEY (id),
    CONSTRAINT uploads_source_external_id_key UNIQUE (source, external_id),
    CONSTRAINT uploads_status_check CHECK (status in ('pending', 'processing', 'tagged', 'review', 'dead')),
    CONSTRAINT uploads_lease_check CHECK ((status = 'processing') = (lease_until is not null)),
    CONSTRAINT uploads_reason_check CHECK ((status = 'dead') = (error_code is not null)),
    CONSTRAINT uploads_attempt_check CHECK (attempt >= 0)
);

-- A queue changes fast; its dead rows and its statistics must not get old.
ALTER TABLE hangtag_data.uploads SET (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05
);

CREATE INDEX uploads_pending_idx ON hangtag_data.uploads (priority desc, available_at, id) WHERE status = 'pending';

CREATE INDEX uploads_dead_idx ON hangtag_data.uploads (finished_at) WHERE status = 'dead';

CREATE INDEX uploads_lease_idx ON hangtag_data.uploads (lease_until) WHERE status = 'processing';

CREATE TABLE hangtag_data.labels (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    attribute TEXT NOT NULL,
    name TEXT NOT NULL,
    parent_id INTEGER,
    CONSTRAINT labels_pkey PRIMARY KEY (id),
    CONSTRAINT labels_attribute_name_key UNIQUE (attribute, name),
    CONSTRAINT labels_parent_id_fkey FOREIGN KEY(parent_id) REFERENCES hangtag_data.labels (id)
);

CREATE TABLE hangtag_data.model_versions (
    version TEXT NOT NULL,
    generation INTEGER GENERATED ALWAYS AS IDENTITY,
    card JSONB NOT NULL,
    active BOOLEAN DEFAULT false NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    activated_at timestamptz,
    CONSTRAINT model_versions_pkey PRIMARY KEY (version),
    CONSTRAINT model_versions_generation_key UNIQUE (generation)
);

CREATE UNIQUE INDEX model_versions_active_idx ON hangtag_data.model_versions (active) WHERE active;

CREATE TABLE hangtag_data.operators (
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    active BOOLEAN DEFAULT true NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT operators_pkey PRIMARY KEY (name)
);

CREATE TABLE hangtag_data.predictions (
    upload_id UUID NOT NULL,
    item SMALLINT NOT NULL,
    model_version TEXT NOT NULL,
    article_type TEXT NOT NULL,
    confidence REAL NOT NULL,
    decision TEXT NOT NULL,
    reason TEXT,
    top5 JSONB NOT NULL,
    tags JSONB NOT NULL,
    fashion_score REAL NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT predictions_pkey PRIMARY KEY (upload_id, item, model_version),
    CONSTRAINT predictions_upload_id_fkey FOREIGN KEY(upload_id) REFERENCES hangtag_data.uploads (id),
    CONSTRAINT predictions_model_version_fkey FOREIGN KEY(model_version) REFERENCES hangtag_data.model_versions (version)
);

CREATE TABLE hangtag_data.tags (
    upload_id UUID NOT NULL,
    item SMALLINT NOT NULL,
    attribute TEXT NOT NULL,
    label TEXT NOT NULL,
    confidence REAL NOT NULL,
    decided_by TEXT NOT NULL,
    model_version TEXT,
    decided_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT tags_pkey PRIMARY KEY (upload_id, item, attribute),
    CONSTRAINT tags_decided_by_check CHECK (decided_by in ('model', 'operator')),
    CONSTRAINT tags_confidence_check CHECK (confidence between 0 and 1),
    CONSTRAINT tags_upload_id_fkey FOREIGN KEY(upload_id) REFERENCES hangtag_data.uploads (id),
    CONSTRAINT tags_model_version_fkey FOREIGN KEY(model_version) REFERENCES hangtag_data.model_versions (version)
);

CREATE INDEX tags_attribute_label_idx ON hangtag_data.tags (attribute, label);

CREATE TABLE hangtag_data.embeddings (
    generation INTEGER NOT NULL,
    upload_id UUID NOT NULL,
    item SMALLINT NOT NULL,
    embedding HALFVEC(256) NOT NULL,
    article_type TEXT,
    sub_category TEXT,
    master_category TEXT,
    CONSTRAINT embeddings_pkey PRIMARY KEY (upload_id, item, generation),
    CONSTRAINT embeddings_unit_length_check CHECK (abs(l2_norm(embedding) - 1) < 0.01),
    CONSTRAINT embeddings_upload_id_fkey FOREIGN KEY(upload_id) REFERENCES hangtag_data.uploads (id)
) PARTITION BY LIST (generation);

CREATE TABLE hangtag_data.review_items (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    upload_id UUID NOT NULL,
    item SMALLINT NOT NULL,
    model_version TEXT NOT NULL,
    reason TEXT NOT NULL,
    suggested JSONB NOT NULL,
    confidence REAL NOT NULL,
    priority SMALLINT DEFAULT 0 NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL,
    claimed_by TEXT,
    lease_until timestamptz,
    created_at timestamptz DEFAULT now() NOT NULL,
    decided_at timestamptz,
    CONSTRAINT review_items_pkey PRIMARY KEY (id),
    CONSTRAINT review_items_status_check CHECK (status in ('open', 'decided', 'withdrawn')),
    CONSTRAINT review_items_lease_check CHECK ((claimed_by is null) = (lease_until is null)),
    CONSTRAINT review_items_upload_id_fkey FOREIGN KEY(upload_id) REFERENCES hangtag_data.uploads (id),
    CONSTRAINT review_items_model_version_fkey FOREIGN KEY(model_version) REFERENCES hangtag_data.model_versions (version),
    CONSTRAINT review_items_claimed_by_fkey FOREIGN KEY(claimed_by) REFERENCES hangtag_data.operators (name)
);

CREATE INDEX review_items_queue_idx ON hangtag_data.review_items (priority desc, created_at, id) WHERE status = 'open';

CREATE INDEX review_items_claimed_idx ON hangtag_data.review_items (claimed_by)
    WHERE status = 'open' AND claimed_by IS NOT NULL;

CREATE UNIQUE INDEX review_items_open_key ON hangtag_data.review_items (upload_id, item) WHERE status = 'open';

CREATE TABLE hangtag_data.previews (
    upload_id UUID NOT NULL,
    item SMALLINT NOT NULL,
    jpeg BYTEA NOT NULL,
    CONSTRAINT previews_pkey PRIMARY KEY (upload_id, item),
    CONSTRAINT previews_upload_id_fkey FOREIGN KEY(upload_id) REFERENCES hangtag_data.uploads (id)
);

CREATE TABLE hangtag_data.decisions (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    review_item_id BIGINT NOT NULL,
    upload_id UUID NOT NULL,
    item SMALLINT NOT NULL,
    attribute TEXT NOT NULL,
    action TEXT NOT NULL,
    label TEXT,
    suggested TEXT NOT NULL,
    confidence REAL NOT NULL,
    model_version TEXT NOT NULL,
    operator TEXT NOT NULL,
    decided_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT decisions_pkey PRIMARY KEY (id),
    CONSTRAINT decisions_review_item_id_key UNIQUE (review_item_id),
    CONSTRAINT decisions_action_check CHECK (action in ('label', 'not_fashion')),
    CONSTRAINT decisions_label_check CHECK ((action = 'label') = (label is not null)),
    CONSTRAINT decisions_upload_id_fkey FOREIGN KEY(upload_id) REFERENCES hangtag_data.uploads (id),
    CONSTRAINT decisions_review_item_id_fkey FOREIGN KEY(review_item_id) REFERENCES hangtag_data.review_items (id),
    CONSTRAINT decisions_operator_fkey FOREIGN KEY(operator) REFERENCES hangtag_data.operators (name)
);

-- The log of decisions is append-only, for everybody.
CREATE FUNCTION hangtag_data.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON hangtag_data.decisions FOR EACH STATEMENT EXECUTE FUNCTION hangtag_data.refuse_change();
