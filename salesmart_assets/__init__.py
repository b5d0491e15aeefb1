"""Retail sales files from S3 to checked, reconciled data marts. Begin with `definitions.py`: the platform on one page."""
