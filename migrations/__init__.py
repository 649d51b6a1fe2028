"""Alembic migrations; `hangtag migrate` runs them."""
