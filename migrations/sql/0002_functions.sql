-- Migration 0002, part 2: what is written to the audit trail by itself, and what a lead may do.

-- Decisions and accounts are written by triggers, so that no program can forget it: neither a
-- console of before, nor a person with SQL. The statement and its entry are one transaction.

CREATE FUNCTION hangtag_data.audit_decision() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO hangtag_data.audit_log (actor, action, subject, upload_id, review_item_id, detail)
        VALUES (NEW.operator, 'decide', coalesce(NEW.label, 'not fashion'), NEW.upload_id,
                NEW.review_item_id, jsonb_build_object(
                    'suggested', NEW.suggested, 'confidence', NEW.confidence,
                    'model_version', NEW.model_version));
    RETURN NULL;
END $$;

CREATE TRIGGER decisions_audit AFTER INSERT ON hangtag_data.decisions
    FOR EACH ROW EXECUTE FUNCTION hangtag_data.audit_decision();

CREATE FUNCTION hangtag_data.audit_operator() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    actions text[] := ARRAY[]::text[];
    one text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        actions := ARRAY['operator_added'];
    ELSIF TG_OP = 'DELETE' THEN
        actions := ARRAY['operator_removed'];
    ELSE
        IF NEW.password_hash IS DISTINCT FROM OLD.password_hash THEN
            actions := actions || 'operator_password'::text;
        END IF;
        IF NEW.role IS DISTINCT FROM OLD.role THEN
            actions := actions
                || CASE NEW.role WHEN 'lead' THEN 'operator_promoted' ELSE 'operator_demoted' END;
        END IF;
        IF NEW.active IS DISTINCT FROM OLD.active THEN
            actions := actions
                || CASE WHEN NEW.active THEN 'operator_enabled' ELSE 'operator_disabled' END;
        END IF;
    END IF;
    FOREACH one IN ARRAY actions LOOP
        INSERT INTO hangtag_data.audit_log (action, subject, detail) VALUES (
            one, coalesce(NEW.name, OLD.name),
            CASE WHEN TG_OP = 'INSERT' THEN jsonb_build_object('role', NEW.role) ELSE '{}' END);
    END LOOP;
    -- An account that is opened again has no session of before.
    IF TG_OP = 'UPDATE' AND actions && ARRAY['operator_disabled', 'operator_password'] THEN
        DELETE FROM hangtag_data.console_sessions AS s WHERE s.operator = NEW.name;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER operators_audit AFTER INSERT OR UPDATE OR DELETE ON hangtag_data.operators
    FOR EACH ROW EXECUTE FUNCTION hangtag_data.audit_operator();

-- A decision stays as it was written. Reopened, its picture becomes a new review item, which the
-- lead holds; what was published stays published until it is decided. The console's role could
-- not do this by itself: whether it is a lead who asks is looked up here.
CREATE FUNCTION hangtag_data.reopen_review_item(
    item_id bigint, lead text, lease_seconds double precision
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old hangtag_data.review_items;
    kept hangtag_data.withdrawn;
    new_id bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM hangtag_data.operators AS o
                   WHERE o.name = lead AND o.active AND o.role = 'lead') THEN
        RAISE EXCEPTION 'only a lead may reopen a decision' USING ERRCODE = 'HT003';
    END IF;
    SELECT * INTO old FROM hangtag_data.review_items AS i WHERE i.id = item_id FOR UPDATE;
    IF old.id IS NULL OR old.status <> 'decided' THEN
        RAISE EXCEPTION 'this picture is not decided' USING ERRCODE = 'HT003';
    END IF;
    IF EXISTS (SELECT FROM hangtag_data.review_items AS i
               WHERE i.upload_id = old.upload_id AND i.item = old.item AND i.id > old.id) THEN
        RAISE EXCEPTION 'this decision was reopened already' USING ERRCODE = 'HT003';
    END IF;
    UPDATE hangtag_data.previews AS p SET kept_until = NULL
        WHERE p.upload_id = old.upload_id AND p.item = old.item;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the picture of this decision is not kept any more' USING ERRCODE = 'HT003';
    END IF;
    UPDATE hangtag_data.review_items AS i SET claimed_by = NULL, lease_until = NULL
        WHERE i.claimed_by = lead AND i.status = 'open';
    INSERT INTO hangtag_data.review_items (upload_id, item, model_version, reason, suggested,
            confidence, priority, claimed_by, lease_until)
        VALUES (old.upload_id, old.item, old.model_version, 'reopened', old.suggested,
            old.confidence, old.priority, lead, now() + make_interval(secs => lease_seconds))
        RETURNING id INTO new_id;
    UPDATE hangtag_data.uploads AS u SET status = 'review'
        WHERE u.id = old.upload_id AND u.status = 'tagged';
    DELETE FROM hangtag_data.withdrawn AS w WHERE w.review_item_id = old.id RETURNING * INTO kept;
    IF kept.review_item_id IS NOT NULL THEN
        INSERT INTO hangtag_data.tags (upload_id, item, attribute, label, confidence, decided_by,
                model_version, decided_at)
            SELECT old.upload_id, old.item, t.attribute, t.label, t.confidence, t.decided_by,
                t.model_version, t.decided_at
            FROM jsonb_populate_recordset(NULL::hangtag_data.tags, kept.tags) AS t
            ON CONFLICT ON CONSTRAINT tags_pkey DO NOTHING;
        INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding, article_type,
                sub_category, master_category)
            SELECT v.generation, old.upload_id, old.item, v.embedding::public.halfvec,
                v.article_type, v.sub_category, v.master_category
            FROM jsonb_to_recordset(kept.vectors) AS v (generation integer, embedding text,
                article_type text, sub_category text, master_category text)
            ON CONFLICT ON CONSTRAINT embeddings_pkey DO NOTHING;
    END IF;
    INSERT INTO hangtag_data.audit_log (actor, action, subject, upload_id, review_item_id, detail)
        VALUES (lead, 'reopen', old.id::text, old.upload_id, new_id,
                jsonb_build_object('decided_item', old.id));
    RETURN new_id;
END $$;

-- A reader's query must not run for ever. Settings of a role reach neither its members nor who
-- takes it on by SET ROLE: only the login that connects counts. So each login that is a reader,
-- and nothing more, gets them: not one that owns anything else in this database or may do anything
-- else here, for it has work of its own; one that has a setting of its own keeps it. Returned are
-- those that got them. `hangtag migrate` calls this each time; call it yourself after
-- GRANT hangtag_reader TO ….
CREATE FUNCTION hangtag_data.limit_readers() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reader record;
BEGIN
    FOR reader IN
        SELECT r.oid, r.rolname FROM pg_roles AS r
        WHERE r.rolcanlogin AND NOT r.rolsuper
            AND pg_has_role(r.oid, 'hangtag_reader', 'MEMBER')
            AND NOT pg_has_role(r.oid, 'hangtag_owner', 'MEMBER')
            AND NOT pg_has_role(r.oid, 'hangtag_worker', 'MEMBER')
            AND NOT pg_has_role(r.oid, 'hangtag_operator', 'MEMBER')
            AND NOT EXISTS (
                SELECT FROM pg_db_role_setting AS s, unnest(s.setconfig) AS one
                WHERE s.setrole = r.oid AND one LIKE 'statement\_timeout=%'
                    AND s.setdatabase IN (0, (SELECT oid FROM pg_database
                                              WHERE datname = current_database())))
            AND NOT EXISTS (
                SELECT FROM pg_shdepend AS d,
                    pg_identify_object(d.classid, d.objid, d.objsubid) AS one
                WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND d.refclassid = 'pg_authid'::regclass
                    AND d.refobjid <> 'hangtag_reader'::regrole
                    AND pg_has_role(r.oid, d.refobjid, 'MEMBER')
                    AND coalesce(one.schema, one.name, '') NOT IN ('hangtag', 'hangtag_data'))
    LOOP
        BEGIN
            EXECUTE format('ALTER ROLE %I IN DATABASE %I SET statement_timeout = %L',
                           reader.rolname, current_database(), '30s');
            EXECUTE format(
                'ALTER ROLE %I IN DATABASE %I SET idle_in_transaction_session_timeout = %L',
                reader.rolname, current_database(), '1min');
            RETURN NEXT reader.rolname;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'reader % has no statement timeout; whoever made it may set one: '
                'ALTER ROLE % SET statement_timeout = ''30s''', reader.rolname, reader.rolname;
        END;
    END LOOP;
END $$;

-- These ran with the caller's search path.
ALTER FUNCTION hangtag_data.set_database() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION hangtag_data.refuse_change() SET search_path = pg_catalog, pg_temp;
