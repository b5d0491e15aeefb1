"""From the bytes of one file to clean, typed rows and a list of everything that was not clean.

No Spark, no Dagster, no network: a local file and a contract in, Arrow tables out. `kernel.FileReader` is the way in;
`codes` names every reason for a rejection.
"""
