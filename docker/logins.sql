-- Give each process a login with the rights of its role alone. `hangtag migrate` has made the
-- roles. Runs at every start and sets the passwords again, so a new one needs only a restart.
\set ON_ERROR_STOP on
\getenv worker_password WORKER_DB_PASSWORD
\getenv console_password CONSOLE_DB_PASSWORD
BEGIN;
SELECT 'CREATE ROLE worker' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'worker')
\gexec
SELECT 'CREATE ROLE console' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'console')
\gexec
ALTER ROLE worker LOGIN PASSWORD :'worker_password';
ALTER ROLE console LOGIN PASSWORD :'console_password';
SET LOCAL client_min_messages = warning; -- granting again is not worth a notice
GRANT hangtag_worker TO worker;
GRANT hangtag_operator TO console;
COMMIT;
