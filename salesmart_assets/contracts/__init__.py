"""What each source promises, and the schema of every table: the one source of truth.

Arrow schemas, column docs, database DDL and the generator's columns all come from here.
"""

from salesmart_assets.contracts.columns import HIDDEN, Column, ColumnType
from salesmart_assets.contracts.load import load_contracts
from salesmart_assets.contracts.model import SOURCES, STATE_SOURCES, Contract, ContractColumn, Misstated, RowRule
from salesmart_assets.contracts.tables import Table, Tables, build_tables

__all__ = [
    "HIDDEN",
    "SOURCES",
    "STATE_SOURCES",
    "Column",
    "ColumnType",
    "Contract",
    "ContractColumn",
    "Misstated",
    "RowRule",
    "Table",
    "Tables",
    "build_tables",
    "load_contracts",
]
