"""Measurements of the product beside other programs, on files of its own generator; each runs as `python -m benchmarks.NAME`."""
