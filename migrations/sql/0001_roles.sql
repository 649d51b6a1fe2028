-- Migration 0001, part 1: extension, roles, schemas.
-- Roles belong to the whole cluster, so they may be there already.
-- They cannot log in: grant one to a service's own login (GRANT hangtag_reader TO feed).

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY[
        'hangtag_owner', 'hangtag_producer', 'hangtag_worker', 'hangtag_operator', 'hangtag_reader'
    ] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of this cluster, or another migration just now, made it
        END;
    END LOOP;
    -- Whoever makes a role may grant it, but may not act as it before doing so.
    IF NOT pg_has_role(current_user, 'hangtag_owner', 'SET') THEN
        GRANT hangtag_owner TO CURRENT_USER;
    END IF;
    EXECUTE format('GRANT CREATE ON DATABASE %I TO hangtag_owner', current_database());
END $$;

CREATE SCHEMA hangtag AUTHORIZATION hangtag_owner;
-- hangtag_data may be there already: it holds Alembic's own table.
CREATE SCHEMA IF NOT EXISTS hangtag_data;
ALTER SCHEMA hangtag_data OWNER TO hangtag_owner;

COMMENT ON SCHEMA hangtag IS 'Hangtag''s contract with other services: views and functions';
COMMENT ON SCHEMA hangtag_data IS 'Hangtag''s own tables; they may change with any release';

SELECT '[1]'::vector; -- loads the library, which makes its settings known
