"""The tests: unit (no services), integration, browser, faults."""
