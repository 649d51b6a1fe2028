"""The database: tables, sessions, roles, the embedded server, and every query."""
