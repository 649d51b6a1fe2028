"""The roles that migrations create; each can do exactly what its users need."""

OWNER = "hangtag_owner"
PRODUCER = "hangtag_producer"
WORKER = "hangtag_worker"
OPERATOR = "hangtag_operator"
READER = "hangtag_reader"

ALL = (OWNER, PRODUCER, WORKER, OPERATOR, READER)
