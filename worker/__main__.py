"""`python -m worker` is the command line `hangtag`."""

from worker.cli import main

main()
