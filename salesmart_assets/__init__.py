"""Retail sales files from S3 to checked, reconciled data marts. Begin with `definitions.py`: the platform on one page."""

import logging

# What is logged shows where a program asks for it, as Dagster does (`python_logs` in dagster.yaml), and else nowhere: a command
# line says what it has to say itself.
logging.getLogger(__name__).addHandler(logging.NullHandler())
