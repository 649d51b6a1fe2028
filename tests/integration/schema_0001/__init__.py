"""The queries of the release before migration 0002, word for word: they must work on its schema.

While an installation is upgraded, old workers, clients and consoles run on the new schema.
"""
