"""A corpus of bad and odd input, made by script."""
