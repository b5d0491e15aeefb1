"""The landing zone: the S3 objects that producers drop, read exactly as listed and moved away without loss.

Knows nothing of what is in the files, of the ledger or of Dagster.
"""
