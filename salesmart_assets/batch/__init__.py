"""The steps of a batch, from landing to reports: each finds its work in the ledger, does it, and says what it did.

No Dagster here: the assets call these steps, and so can a test or a script. A step takes everything that is pending for
its table, whoever left it, so that a crash anywhere is repaired by the next run.
"""
