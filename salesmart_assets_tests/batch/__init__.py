"""Tests of whole batches, run in this process."""
