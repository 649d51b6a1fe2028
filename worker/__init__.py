"""The worker: Celery app, pipeline, reaper, picture store, command line."""
