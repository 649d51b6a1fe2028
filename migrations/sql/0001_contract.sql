-- Migration 0001, part 3: what other services call (schema hangtag), and what Hangtag's own
-- roles call (schema hangtag_data).

-- Ways in ---------------------------------------------------------------------------------

CREATE FUNCTION hangtag.submit_uploads(
    uris text[], source text, external_ids text[], priority integer DEFAULT 0
) RETURNS TABLE (place bigint, id uuid, status text, created boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    new_ids uuid[];
BEGIN
    IF source IS NULL OR length(source) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'source must have 1 to 200 characters' USING ERRCODE = 'HT001';
    END IF;
    IF cardinality(uris) IS DISTINCT FROM cardinality(external_ids) THEN
        RAISE EXCEPTION 'name as many external_ids as uris, null where there is none'
            USING ERRCODE = 'HT001';
    END IF;
    IF EXISTS (SELECT FROM unnest(uris) AS u (uri)
               WHERE u.uri IS NULL OR length(u.uri) NOT BETWEEN 1 AND 2048) THEN
        RAISE EXCEPTION 'a uri must have 1 to 2048 characters' USING ERRCODE = 'HT001';
    END IF;
    IF EXISTS (SELECT FROM unnest(external_ids) AS e (name) WHERE length(e.name) > 4096) THEN
        RAISE EXCEPTION 'an external_id may have 4096 characters at most' USING ERRCODE = 'HT001';
    END IF;
    IF priority IS NULL OR priority NOT BETWEEN -100 AND 100 THEN
        RAISE EXCEPTION 'priority must lie between -100 and 100' USING ERRCODE = 'HT001';
    END IF;
    new_ids := ARRAY(SELECT gen_random_uuid() FROM unnest(uris));
    -- In the order of external_id, so that two overlapping submissions cannot deadlock.
    INSERT INTO hangtag_data.uploads (id, source, external_id, uri, priority)
        SELECT w.id, submit_uploads.source, w.external_id, w.uri, submit_uploads.priority
        FROM unnest(new_ids, uris, external_ids) AS w (id, uri, external_id)
        ORDER BY w.external_id
        ON CONFLICT (source, external_id) DO NOTHING;
    -- A statement of its own: it sees rows that another session committed meanwhile.
    RETURN QUERY
        SELECT w.place, found.id, found.status, found.id = w.id
        FROM unnest(new_ids, external_ids) WITH ORDINALITY AS w (id, external_id, place)
        CROSS JOIN LATERAL (
            SELECT u.id, u.status FROM hangtag_data.uploads AS u WHERE u.id = w.id
            UNION ALL
            SELECT u.id, u.status FROM hangtag_data.uploads AS u
                WHERE u.source = submit_uploads.source AND u.external_id = w.external_id
            LIMIT 1
        ) AS found
        ORDER BY w.place;
END $$;
COMMENT ON FUNCTION hangtag.submit_uploads IS
    'Hand in many pictures at once; (source, external_id) twice is one upload. The reaper '
    'notices them within seconds. priority: higher goes first, below zero is the backfill lane';

CREATE FUNCTION hangtag.submit_upload(
    uri text, source text, external_id text DEFAULT NULL, priority integer DEFAULT 0
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    upload_id uuid;
BEGIN
    SELECT s.id INTO upload_id
        FROM hangtag.submit_uploads(ARRAY[uri], source, ARRAY[external_id], priority) AS s;
    PERFORM pg_notify('hangtag_uploads', ''); -- wakes the reaper, which rings at once
    RETURN upload_id;
END $$;
COMMENT ON FUNCTION hangtag.submit_upload IS
    'Hand in one picture; (source, external_id) twice is one upload. Returns its image_id';

-- Published views -------------------------------------------------------------------------

CREATE VIEW hangtag.image_tags AS
    SELECT t.upload_id AS image_id, t.item, u.source, u.external_id, u.uri, t.attribute, t.label,
           t.confidence, t.decided_by, t.model_version, t.decided_at
    FROM hangtag_data.tags AS t
    JOIN hangtag_data.uploads AS u ON u.id = t.upload_id;
COMMENT ON VIEW hangtag.image_tags IS 'Published tags, a row an attribute of an item';

CREATE VIEW hangtag.upload_status AS
    SELECT id AS image_id, source, external_id, uri, status, attempt, error_code, error,
           created_at, finished_at
    FROM hangtag_data.uploads;
COMMENT ON VIEW hangtag.upload_status IS 'Where each upload stands';

CREATE VIEW hangtag.review_queue AS
    SELECT id AS review_item_id, upload_id AS image_id, item, reason, suggested, confidence,
           priority, claimed_by, lease_until, created_at
    FROM hangtag_data.review_items
    WHERE status = 'open';
COMMENT ON VIEW hangtag.review_queue IS 'Items that wait for an operator';

-- Model generations -----------------------------------------------------------------------

CREATE FUNCTION hangtag_data.show_generation(generation integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The generation is a constant of the view, so the planner sees one partition and its
    -- index; a switch of models is this one statement.
    EXECUTE format(
        'CREATE OR REPLACE VIEW hangtag.image_embeddings AS '
        'SELECT upload_id AS image_id, item, embedding, article_type, sub_category, '
        'master_category FROM hangtag_data.embeddings WHERE generation = %s', generation);
END $$;

SELECT hangtag_data.show_generation(0); -- no model yet: an empty view
COMMENT ON VIEW hangtag.image_embeddings IS
    'The active model''s unit vectors. ORDER BY embedding <=> query LIMIT k uses the HNSW index; '
    'the categories are the published ones';

CREATE FUNCTION hangtag_data.register_model(version text, card jsonb) RETURNS integer
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
    EXECUTE format('CREATE TABLE hangtag_data.%I PARTITION OF hangtag_data.embeddings '
                   'FOR VALUES IN (%s) '
                   -- The planner must learn early that a scan has become dearer than the index.
                   'WITH (autovacuum_analyze_threshold = 200, '
                   'autovacuum_analyze_scale_factor = 0.05)', partition, number);
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
    RETURN number;
END $$;

CREATE FUNCTION hangtag_data.activate_model(version text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number integer;
BEGIN
    SELECT m.generation INTO number FROM hangtag_data.model_versions AS m
        WHERE m.version = activate_model.version FOR UPDATE;
    IF number IS NULL THEN
        RAISE EXCEPTION 'no model version %', activate_model.version USING ERRCODE = 'HT002';
    END IF;
    UPDATE hangtag_data.model_versions AS m SET active = false
        WHERE m.active AND m.version <> activate_model.version;
    UPDATE hangtag_data.model_versions AS m SET active = true, activated_at = now()
        WHERE m.version = activate_model.version;
    PERFORM hangtag_data.show_generation(number);
END $$;

-- Settings of the database ------------------------------------------------------------------

-- Filters on a nearest-neighbour query apply after the index scan. Iterative scans go on until
-- LIMIT rows passed the filter; without them such a query returns too few rows. Set for the
-- database, because `ALTER ROLE … SET` does not reach members of a role. A copy or a restored
-- dump of the database lacks them, so `hangtag migrate` calls this each time.
CREATE FUNCTION hangtag_data.set_database() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM '[1]'::public.vector; -- loads the library, which makes its settings known
    EXECUTE format('ALTER DATABASE %I SET hnsw.iterative_scan = strict_order', current_database());
    EXECUTE format('ALTER DATABASE %I SET hnsw.max_scan_tuples = 2147483647', current_database());
    EXECUTE format('ALTER DATABASE %I SET hnsw.scan_mem_multiplier = 64', current_database());
END $$;

-- Similarity ------------------------------------------------------------------------------

-- The output column is named image_id, as everywhere; so is the argument. Two parameters cannot
-- share a name, hence the composite type.
CREATE TYPE hangtag.similar_image AS (
    image_id uuid, item smallint, distance double precision, article_type text
);

CREATE FUNCTION hangtag.similar_images(
    image_id uuid, k integer, article_type text DEFAULT NULL
) RETURNS SETOF hangtag.similar_image
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    query public.halfvec;
BEGIN
    IF k IS NULL OR k NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'k must lie between 1 and 1000' USING ERRCODE = 'HT001';
    END IF;
    SELECT e.embedding INTO query FROM hangtag.image_embeddings AS e
        WHERE e.image_id = similar_images.image_id ORDER BY e.item LIMIT 1;
    IF query IS NULL THEN
        RETURN; -- not there, or not embedded yet
    END IF;
    -- One more than asked for, since the picture itself comes first; two statements, so that
    -- each has a plan of its own.
    IF similar_images.article_type IS NULL THEN
        RETURN QUERY SELECT n.image_id, n.item, n.distance, n.article_type FROM (
            SELECT e.image_id, e.item, e.embedding OPERATOR(public.<=>) query AS distance,
                   e.article_type
            FROM hangtag.image_embeddings AS e
            ORDER BY e.embedding OPERATOR(public.<=>) query LIMIT k + 1) AS n
            WHERE n.image_id <> similar_images.image_id LIMIT k;
    ELSE
        RETURN QUERY SELECT n.image_id, n.item, n.distance, n.article_type FROM (
            SELECT e.image_id, e.item, e.embedding OPERATOR(public.<=>) query AS distance,
                   e.article_type
            FROM hangtag.image_embeddings AS e
            WHERE e.article_type = similar_images.article_type
            ORDER BY e.embedding OPERATOR(public.<=>) query LIMIT k + 1) AS n
            WHERE n.image_id <> similar_images.image_id LIMIT k;
    END IF;
END $$;
COMMENT ON FUNCTION hangtag.similar_images IS
    'The k pictures nearest to a picture by cosine distance, itself left out';
