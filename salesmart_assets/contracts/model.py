"""The contract language: what a YAML file may say about a source, checked when it is read."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from salesmart_assets.contracts.columns import Column, ColumnType

SOURCES = ("sales", "customers", "stores", "products", "sales_team")
STATE_SOURCES = SOURCES[1:]
RESERVED = frozenset({"source_file", "source_row", "batch_date", "additional_columns", "file_id"})


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ContractColumn(_Strict):
    """A column that a source may deliver.

    `required`: the file must have the column, and each row a value in it, unless `nullable` is true.
    `aliases` are other header names it goes by (case does not matter). `date_formats` are strptime patterns, tried in
    order; ISO 8601 by default. `min` and `max` are inclusive. `pattern` must match the whole text. `type_2` says that
    a change of this column begins a new version of the member.
    """

    type: str
    description: str
    required: bool = False
    nullable: bool | None = None
    aliases: tuple[str, ...] = ()
    date_formats: tuple[str, ...] = ("%Y-%m-%d",)
    min: str | None = None
    max: str | None = None
    pattern: str | None = None
    values: tuple[str, ...] = ()
    pii: bool = False
    type_2: bool = False

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        ColumnType(value)
        return value.replace(" ", "")

    @field_validator("min", "max", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> str | None:
        return None if value is None else str(value)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            re.compile(value)
        return value

    @property
    def column_type(self) -> ColumnType:
        """The column's type in each language."""
        return ColumnType(self.type)

    @property
    def may_be_null(self) -> bool:
        """Whether a row may leave the column empty."""
        return not self.required if self.nullable is None else self.nullable


class RowRule(_Strict):
    """A rule over one row, as an SQL expression of its columns; rows for which it is not true are rejected with `row.NAME`.

    A row in which a column of the rule is missing is not judged by it.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    expression: str
    message: str


class Contract(_Strict):
    """What a source promises.

    `delivery`: `events` for sales; state sources deliver `changes` (silence means nothing) or a whole `snapshot`.
    `business_key`: columns that tell a row from another; used only for rows in which all of them are present.
    """

    source: Literal["sales", "customers", "stores", "products", "sales_team"]
    description: str
    columns: dict[str, ContractColumn]
    rules: tuple[RowRule, ...] = ()
    natural_key: str | None = None
    business_key: tuple[str, ...] = ()
    delivery: Literal["events", "changes", "snapshot"]
    scd: Literal[1, 2] = 1
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str | None = None
    decimal_sign: Literal[".", ","] = "."
    on_missing_column: Literal["reject_file", "fill_null"] = "reject_file"
    on_extra_column: Literal["keep", "drop", "reject_file"] = "keep"
    max_rejected_ratio: float = Field(1.0, ge=0, le=1)

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        if reserved := RESERVED & self.columns.keys():
            raise ValueError(f"column names {sorted(reserved)} are used by the platform: choose others")
        names: dict[str, str] = {}
        for name, item in self.columns.items():
            for spelling in (name, *item.aliases):
                other = names.setdefault(spelling.strip().lower(), name)
                if other != name:
                    raise ValueError(f"the header {spelling!r} would mean both {other!r} and {name!r}: remove one alias")
        for key in (*self.business_key, *((self.natural_key,) if self.natural_key else ())):
            if key not in self.columns:
                raise ValueError(f"the key column {key!r} is not among the columns")
        if (self.delivery == "events") != (self.source == "sales"):
            raise ValueError("delivery is `events` for sales and `changes` or `snapshot` for the other sources")
        if (self.natural_key is None) != (self.source == "sales"):
            raise ValueError("natural_key names the member of a dimension: every source but sales has one")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except LookupError:
                raise ValueError(f"encoding {self.encoding!r} is not known: use a name such as utf-8, latin-1 or cp1252") from None
        return self

    @property
    def is_state(self) -> bool:
        """Whether the source delivers the state of members (a dimension) rather than events."""
        return self.source != "sales"

    @property
    def mandatory(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        return tuple(name for name, item in self.columns.items() if item.required)

    def spellings(self) -> dict[str, str]:
        """Every accepted header, in lower case, with the column it means."""
        return {s.strip().lower(): name for name, item in self.columns.items() for s in (name, *item.aliases)}

    def table_columns(self) -> tuple[Column, ...]:
        """The contract's columns as columns of a table, in the contract's order."""
        return tuple(
            Column(name, item.column_type, item.description, nullable=item.may_be_null, pii=item.pii) for name, item in self.columns.items()
        )
