-- Migration 0005 taken back, as whoever migrates: only a database's owner changes its settings.
DO $$
BEGIN
    PERFORM '[1]'::public.vector; -- loads the library, without which only a superuser may do this
    EXECUTE format('ALTER DATABASE %I RESET hnsw.ef_search', current_database());
END $$;
