"""The operator console: log in, see the next uncertain picture, decide with one key."""
