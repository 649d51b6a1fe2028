"""Every query, one module a noun: the session first, rows out, never a commit."""
