"""The Celery app: queues, delivery and time limits."""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from worker.delivery import AMQP
from worker.settings import WorkerSettings

INGEST = "ingest"
BACKFILL = "backfill"
LANES = (INGEST, BACKFILL)
#: The question that workers answer with the totals of `worker.stages`.
METRICS = "hangtag_metrics"


def make_app(settings: WorkerSettings) -> Celery:
    """Return the app on the broker that the settings name; it connects when first used."""
    app = Celery("hangtag", broker=settings.require_broker(), include=["worker.tasks"], amqp=AMQP)
    app.conf.update(
        task_queues=[Queue(lane) for lane in LANES],
        task_default_queue=INGEST,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # A message is a doorbell; the row decides. Late acks make a ring outlive its worker.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A database that takes a statement and never answers ends the task by its time limit; an
        # upload that only this message knows would be gone with it.
        task_acks_on_timeout=False,
        task_time_limit=settings.lease_seconds,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        # Loading a model in a fresh child takes longer than Celery's default of 4 s on a busy
        # machine; a child that is late would be killed and started again, for ever.
        worker_proc_alive_timeout=120,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A server that is full, or was made a replica, answers with errors: no reason to end.
        broker_channel_error_retry=True,
        broker_transport_options={
            # kombu has no timeouts of its own: a broker that vanished would hold us for ever.
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "retry_on_timeout": True,
            "visibility_timeout": 300,
            # A dead worker's messages are looked for each ten seconds, not each hundred.
            "unacked_restore_throttle": 1,
            # Fresh uploads before the back catalogue, in the order of `task_queues`.
            "queue_order_strategy": "priority",
        },
    )
    return app
