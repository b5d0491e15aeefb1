"""The ledger's tables, created and migrated by the program."""

from __future__ import annotations

import time

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from salesmart_assets.contracts.columns import ColumnType
from salesmart_assets.errors import Permanent

metadata = sa.MetaData()
_utc = ColumnType("timestamp").sql()
_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(length: int) -> sa.types.TypeEngine[object]:
    """A bounded text that compares byte by byte: `A.csv` and `a.csv` are two files, on every database."""
    return ColumnType("string").sql(length=length)


_long_text = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")

ingest_file = sa.Table(
    "ingest_file",
    metadata,
    sa.Column("file_id", _id, primary_key=True, autoincrement=True),
    sa.Column("identity", _text(64), nullable=False, unique=True, comment="SHA-256 over bucket, key and version (or ETag, size, time)"),
    sa.Column("key_hash", _text(64), nullable=False, index=True, comment="SHA-256 over bucket and key"),
    sa.Column("source", _text(32), nullable=False),
    sa.Column("bucket", _text(255), nullable=False),
    sa.Column("key", _text(1024), nullable=False, comment="landing key; stays when the object is archived"),
    sa.Column("version_id", _text(1024)),
    sa.Column("etag", _text(255), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False, comment="bytes"),
    sa.Column("last_modified", _utc, nullable=False),
    sa.Column("current_key", _text(1024), nullable=False, comment="where the object is now"),
    sa.Column("current_etag", _text(255), nullable=False),
    sa.Column("current_version_id", _text(1024)),
    sa.Column("batch_date", sa.Date, index=True, comment="empty only for a file whose dt= is no batch date"),
    sa.Column("status", _text(1), nullable=False, index=True, comment="A: begun, not finished; I: done"),
    sa.Column("stage", _text(16), nullable=False, comment="registered, staged, kept, published"),
    sa.Column("outcome", _text(16), comment="loaded, rejected, duplicate, superseded, empty, given_up"),
    sa.Column("rows_read", sa.BigInteger, nullable=False, default=0),
    sa.Column("rows_accepted", sa.BigInteger, nullable=False, default=0),
    sa.Column("rows_rejected", sa.BigInteger, nullable=False, default=0),
    sa.Column("rows_duplicate", sa.BigInteger, nullable=False, default=0),
    sa.Column("rows_staged", sa.BigInteger, nullable=False, default=0, comment="clean rows, before duplicates were found"),
    sa.Column("control_sums", _text(255), comment="units and money of the clean rows as they were read, as JSON; only of sales"),
    sa.Column("content_hash", _text(64), index=True, comment="SHA-256 of the object's bytes"),
    sa.Column("duplicate_of", sa.BigInteger, index=True, comment="file with the same content that counts"),
    sa.Column("superseded_by", sa.BigInteger, index=True),
    sa.Column("replay_of", sa.BigInteger, index=True, comment="file whose mended rows these are"),
    sa.Column("header", _long_text, comment="names of its columns, as a JSON list"),
    sa.Column("format", _text(16)),
    sa.Column("rejected_files", _long_text, comment="data files of its rejections, until they are committed, as JSON"),
    sa.Column("delta_version", sa.BigInteger, comment="version of the staging table that shows its rows"),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("run_id", _text(64)),
    sa.Column("reason", _long_text, comment="why the file was rejected, or the first error"),
    sa.Column("first_seen", _utc, nullable=False),
    sa.Column("updated_at", _utc, nullable=False),
    sa.Column("finished_at", _utc, index=True),
)

pending_slice = sa.Table(
    "pending_slice",
    metadata,
    sa.Column("table_name", _text(64), primary_key=True),
    sa.Column("slice", _text(64), primary_key=True),
    sa.Column("token", _text(36), nullable=False, comment="new with each touch, so that only what was computed is cleared"),
    sa.Column("batch_date", sa.Date, comment="batch that touched it last"),
    sa.Column("touched_at", _utc, nullable=False),
)

duplicate_rows = sa.Table(
    "duplicate_rows",
    metadata,
    sa.Column("file_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sales_date", sa.Date, primary_key=True, index=True),
    sa.Column("duplicates", sa.BigInteger, nullable=False, comment="rows of the file for that day that another row stands for"),
)

content_claim = sa.Table(
    "content_claim",
    metadata,
    sa.Column("source", _text(32), primary_key=True),
    sa.Column("content_hash", _text(64), primary_key=True),
    sa.Column("file_id", sa.BigInteger, nullable=False, comment="the file that counts for this content"),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", _text(64), primary_key=True),
    sa.Column("holder", _text(36)),
    sa.Column("place", _text(255), comment="host and lock of the holder"),
    sa.Column("fence", sa.BigInteger, nullable=False, comment="grows with each holder"),
    sa.Column("beat", sa.BigInteger, nullable=False, comment="grows while the holder lives"),
)

source_location = sa.Table(
    "source_location",
    metadata,
    sa.Column("location_id", _id, primary_key=True, autoincrement=True),
    sa.Column("source", _text(32), nullable=False),
    sa.Column("bucket", _text(255), nullable=False),
    sa.Column("prefix", _text(512), nullable=False),
    sa.Column("format_hint", _text(16), comment="what its files are where their content leaves that open"),
    sa.Column("active", sa.Boolean, nullable=False, default=True),
    sa.Column("added_at", _utc, nullable=False),
)

location_fault = sa.Table(
    "location_fault",
    metadata,
    sa.Column("place_hash", _text(64), primary_key=True, comment="SHA-256 over source, bucket and prefix"),
    sa.Column("source", _text(32), nullable=False),
    sa.Column("bucket", _text(255), nullable=False),
    sa.Column("prefix", _text(512), nullable=False),
    sa.Column("reason", _long_text, nullable=False, comment="why it can't be looked at"),
    sa.Column("since", _utc, nullable=False),
)

ledger_version = sa.Table("ledger_version", metadata, sa.Column("version", sa.Integer, primary_key=True))
VERSION = 5


_TRIES = 10
_SAID_TWICE = ("already exists", "Duplicate column", "Duplicate key name", "duplicate column")


def create(engine: sa.Engine) -> None:
    """Create what is missing, add new columns to what is there; a ledger of a newer salesmart is refused.

    Several processes may do so at the same moment.
    """
    for _ in range(_TRIES):
        try:
            _create(engine)
        except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError) as error:
            if not isinstance(error, sa.exc.IntegrityError) and not any(text in str(error.orig) for text in _SAID_TWICE):
                raise
            # Another process was faster: look again at what is missing.
            time.sleep(0.1)
        else:
            return
    _create(engine)


def _create(engine: sa.Engine) -> None:
    metadata.create_all(engine, checkfirst=True)
    inspector = sa.inspect(engine)
    with engine.begin() as connection:
        found = connection.scalar(sa.select(sa.func.max(ledger_version.c.version)))
        if found is not None and found > VERSION:
            raise Permanent(f"The ledger is of a newer salesmart (layout {found}, this one knows {VERSION}): upgrade salesmart.")
        if found == VERSION:
            return
        preparer = connection.dialect.identifier_preparer
        for table in metadata.sorted_tables:
            present = {item["name"] for item in inspector.get_columns(table.name)}
            for item in table.columns:
                if item.name not in present:
                    ddl = sa.schema.CreateColumn(item).compile(dialect=connection.dialect)
                    connection.execute(sa.DDL(f"ALTER TABLE {preparer.format_table(table)} ADD COLUMN {ddl}"))  # type: ignore[no-untyped-call]
            indexed = {item["name"] for item in inspector.get_indexes(table.name)}
            for index in table.indexes:
                if index.name not in indexed:
                    index.create(connection)
        connection.execute(sa.delete(ledger_version))
        connection.execute(sa.insert(ledger_version).values(version=VERSION))
