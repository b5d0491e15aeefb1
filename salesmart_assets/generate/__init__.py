"""Realistic, reproducible files of the five sources, of any size, with faults on demand.

The columns come from the contracts. Nothing here reads or writes tables, or knows what becomes of the files.
"""

from salesmart_assets.generate.days import FolderSink, GeneratedFile, Plan, S3Sink, Sink, generate, parse_size
from salesmart_assets.generate.demo import generate_demo

__all__ = ["FolderSink", "GeneratedFile", "Plan", "S3Sink", "Sink", "generate", "generate_demo", "parse_size"]
