"""The contract language: what a YAML file may say about a source, checked when it is read."""

from __future__ import annotations

import codecs
import re
from datetime import datetime, timezone
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from salesmart_assets.contracts import arithmetic
from salesmart_assets.contracts.columns import Column, ColumnType
from salesmart_assets.contracts.needs import NATURAL_KEYS, RESERVED, shortfall
from salesmart_assets.errors import ContractError

SOURCES = ("sales", "customers", "stores", "products", "sales_team")
STATE_SOURCES = SOURCES[1:]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_ESCAPES = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "unicode-escape", "raw-unicode-escape"})
_PROBE = datetime(2031, 12, 25, 20, 46, 59, tzinfo=timezone.utc)
_TAKES_LIMITS = ("integer", "date", "timestamp", "string")


class Misstated(ContractError):
    """A contract that says something impossible at `place`, its path from the top, such as ("columns", "price", "min").

    `says` tells what is wrong and what to do; who knows the file adds its name and the line.
    """

    def __init__(self, source: str, place: tuple[str | int, ...], says: str) -> None:
        super().__init__(f"contract of {source}: {shown(place)}: {says}." if place else f"contract of {source}: {says}.")
        self.place = place
        self.says = says


class Misplaced(ValueError):
    """Raised within a model whose fault lies at one of its parts: `place` is the way there from the model."""

    def __init__(self, place: tuple[str | int, ...], says: str) -> None:
        super().__init__(says)
        self.place = place


def shown(place: tuple[str | int, ...]) -> str:
    """A place in a contract as a message names it.

    >>> shown(("rules", 0, "expression"))
    'rules[1].expression'
    """
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _written(value: object) -> object:
    """A number, day or truth value as the text that stands for it; YAML files are read as text, so only programs give others."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, (str, list, tuple, dict)) else str(value)


Text: TypeAlias = Annotated[str, BeforeValidator(_written)]


def _one_sign(value: str) -> str:
    if len(value) != 1 or not value.isascii() or value.isalnum() or value in '"\r\n\0':
        raise ValueError(f'{value!r} cannot separate values: use one ASCII sign, such as "," or ";" or "\\t" (a tab), in double quotes')
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ContractColumn(_Strict):
    """A column that a source may deliver."""

    type: Text = Field(description="`integer`, `string`, `date`, `timestamp`, `boolean` or `decimal(PRECISION,SCALE)`.")
    description: Text = Field(description="What the column means; shown in the UI and in the database.")
    required: bool = Field(
        default=False, description="The file must have the column (unless it has a `default` or `compute`), and each row a value."
    )
    nullable: bool | None = Field(
        default=None, description="Whether a row may leave the column empty; without it, a required one may not and others may."
    )
    aliases: tuple[Text, ...] = Field(default=(), description="Other header names it goes by; case does not matter.")
    date_formats: tuple[Text, ...] = Field(
        default=("%Y-%m-%d",),
        description="Patterns of dates and timestamps, tried in order, such as `%d/%m/%Y` or `%m/%d/%Y %H:%M`. "
        "Months, days and hours may have one digit. A date takes the day of a time. Without it, ISO 8601.",
    )
    min: Text | None = Field(default=None, description="Smallest value that is right.")
    max: Text | None = Field(default=None, description="Largest value that is right.")
    pattern: Text | None = Field(default=None, description="Regular expression that the whole text must match.")
    values: tuple[Text, ...] = Field(default=(), description="All values that are right.")
    default: Text | None = Field(
        default=None, description="Value of a row that delivers none: the text is empty, or the file lacks the column."
    )
    compute: Text | None = Field(
        default=None,
        description="Arithmetic over other columns, such as `price * quantity`, for a row that delivers no value; exact, rounded half up "
        "to the column's scale. Or the name of one column of the same type, to copy.",
    )
    pii: bool = Field(default=False, description="Personal data: whole only in the tables, masked wherever people look in passing.")
    type_2: bool = Field(default=False, description="With `scd: 2`, a change of this column begins a new version of the member.")

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        ColumnType(value)
        return value.replace(" ", "")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(
                    f"{value!r} is no regular expression ({error}): put a backslash before a sign that stands for itself"
                ) from None
        return value

    @field_validator("compute")
    @classmethod
    def _computes(cls, value: str | None) -> str | None:
        if value is not None:
            arithmetic.parse(value)
        return value

    @model_validator(mode="after")
    def _fits_type(self) -> ContractColumn:
        moments = self.type in ("date", "timestamp")
        if "date_formats" in self.model_fields_set:
            if not moments:
                raise Misplaced(("date_formats",), f"a column of type {self.type} has no date format: remove it, or set `type: date`")
            if not self.date_formats:
                raise Misplaced(("date_formats",), "the list is empty: name a format, or remove the key")
            for place, pattern in enumerate(self.date_formats):
                if says := _useless_format(pattern):
                    raise Misplaced(("date_formats", place), says)
        for limit in ("min", "max"):
            if getattr(self, limit) is not None and self.type not in _TAKES_LIMITS and not self.column_type.decimal:
                raise Misplaced((limit,), f"a column of type {self.type} has no smallest or largest value: remove it")
        if self.default is not None and self.compute is not None:
            raise Misplaced(("compute",), "a row without a value can take the default or a computed one, not both: remove one of them")
        if self.default is not None and not self.default.strip(" \t"):
            raise Misplaced(("default",), "it is empty, which is no value: give one, or remove the key")
        return self

    @property
    def column_type(self) -> ColumnType:
        """The column's type in each language."""
        return ColumnType(self.type)

    @property
    def may_be_null(self) -> bool:
        """Whether a row may leave the column empty."""
        if self.default is not None:
            return False
        return not self.required if self.nullable is None else self.nullable


class RowRule(_Strict):
    """A rule over one row; rows for which it is not true are rejected with `row.NAME`.

    A row in which a column of the rule is missing is not judged by it.
    """

    name: Text = Field(description="Name of the rule, in lower case: its code is `row.NAME`.")
    expression: Text = Field(description="SQL expression over the contract's columns that compares them, such as `total_cost >= price`.")
    message: Text = Field(description="What a row has done that breaks the rule, in words.")

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"{value!r} cannot be used: write lower-case letters, digits and underscores, and begin with a letter")
        return value


class Contract(_Strict):
    """What a source promises."""

    source: Literal["sales", "customers", "stores", "products", "sales_team"] = Field(description="The source, as the file is called.")
    description: Text = Field(description="What the source delivers.")
    columns: dict[str, ContractColumn] = Field(description="The columns, by name.")
    rules: tuple[RowRule, ...] = Field(default=(), description="Rules over the columns of one row.")
    natural_key: Text | None = Field(
        default=None, description="The column that names the member of a dimension; every source but `sales` has one."
    )
    business_key: tuple[Text, ...] = Field(
        default=(),
        description="Columns that tell a sold line from another, `sales_date` among them: of rows with the same values one counts. "
        "Where one is empty, all do.",
    )
    delivery: Literal["events", "changes", "snapshot"] = Field(
        description="`events` for sales; for the others `changes` (silence means nothing) or a whole `snapshot` (who is absent has left)."
    )
    scd: Annotated[Literal[1, 2], BeforeValidator(lambda v: {"1": 1, "2": 2}.get(v, v) if isinstance(v, str) else v)] = Field(
        default=1, description="Slowly changing dimension: 1 keeps the last state, 2 keeps versions."
    )
    delimiter: Annotated[Text, AfterValidator(_one_sign)] = Field(default=",", description="The sign between the values of a CSV file.")
    encoding: Text | None = Field(
        default=None,
        description="Encoding of the text, such as `latin-1` or `cp1252`; without it UTF-8. Never guessed; a byte order mark wins.",
    )
    decimal_sign: Literal[".", ","] = Field(default=".", description="The sign before the decimal places of a number in CSV.")
    on_missing_column: Literal["reject_file", "fill_null"] = Field(
        default="reject_file", description="What happens if a required column is not in the file."
    )
    on_extra_column: Literal["keep", "drop", "reject_file"] = Field(
        default="keep",
        description="What happens to columns that the contract does not name; kept ones become JSON in `additional_columns`.",
    )
    max_rejected_ratio: float = Field(
        default=1.0, ge=0, le=1, description="Largest share of a file's rows that may be rejected, 0 to 1; with more, the file is."
    )
    max_rejected_rows: int | None = Field(
        default=None, ge=0, description="Largest number of a file's rows that may be rejected; with more, the file is."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        self._check_names()
        if found := shortfall(self.source, self.columns):
            raise Misplaced(*found)
        self._check_keys()
        self._check_computed()
        if self.delimiter == self.decimal_sign == ".":
            raise Misplaced(("delimiter",), "delimiter and decimal_sign are both a point: use another delimiter")
        if (self.delivery == "events") != (self.source == "sales"):
            right = "`events`" if self.source == "sales" else "`changes` or `snapshot`"
            raise Misplaced(("delivery",), f"{self.source} are not delivered as {self.delivery}: write {right}")
        if self.encoding is not None and not _decodes(self.encoding):
            raise Misplaced(("encoding",), f"encoding {self.encoding!r} is not known: use a name such as utf-8, latin-1 or cp1252")
        return self

    def _check_names(self) -> None:
        for name in self.columns:
            if name in RESERVED[self.source]:
                raise Misplaced(("columns", name), f"the name {name} is used by the platform: choose another, and give {name} as an alias")
            if not _NAME.fullmatch(name):
                raise Misplaced(
                    ("columns", name),
                    f"{name!r} cannot name a column of a table: write lower-case letters, digits and underscores, "
                    f"begin with a letter, and give {name!r} as an alias",
                )
        names: dict[str, str] = {}
        for name, item in self.columns.items():
            for place, spelling in enumerate((name, *item.aliases)):
                where = ("columns", name, "aliases", place - 1) if place else ("columns", name)
                if not spelling.strip():
                    raise Misplaced(where, "an empty header is no name: remove the alias")
                other = names.setdefault(spelling.strip().lower(), name)
                if other != name:
                    raise Misplaced(where, f"the header {spelling!r} would mean both {other!r} and {name!r}: remove one alias")
        if len({rule.name for rule in self.rules}) < len(self.rules):
            raise Misplaced(("rules",), "two rules have the same name: rename one")

    def _check_keys(self) -> None:
        for key in self.business_key:
            if key not in self.columns:
                raise Misplaced(("business_key",), f"the key column {key!r} is not among the columns: add it, or remove it from the key")
        if self.source == "sales" and self.business_key and "sales_date" not in self.business_key:
            says = "the fact is made a sale date at a time, and tells lines of one date apart: add sales_date to the key"
            raise Misplaced(("business_key",), says)
        if self.business_key and self.is_state:
            raise Misplaced(("business_key",), "only sales have a business key: remove it")
        natural = NATURAL_KEYS.get(self.source)
        if self.natural_key != natural:
            says = f"the sales name a member by it: write `natural_key: {natural}`" if natural else "only dimensions have one: remove it"
            raise Misplaced(("natural_key",), says)

    def _check_computed(self) -> None:
        """What an expression reads is there, is no value still to be computed, and is of a type that can be reckoned with."""
        ready = {name for name, item in self.columns.items() if item.compute is None}
        for name, item in self.columns.items():
            if item.compute is None:
                continue
            expression = arithmetic.parse(item.compute)
            place = ("columns", name, "compute")
            for read in arithmetic.columns(expression):
                if read not in self.columns:
                    raise Misplaced(place, f"there is no column {read!r}: use the contract's names")
                if read not in ready:
                    raise Misplaced(place, f"{read!r} is itself computed, further down or by this: move its column up, or use others")
            if isinstance(expression, arithmetic.Reference) and self.columns[expression.column].type == item.type:
                ready.add(name)
                continue
            for read in (*arithmetic.columns(expression), name):
                kind = self.columns[read].column_type
                if kind.name != "integer" and not kind.decimal:
                    raise Misplaced(place, f"{read} is a {kind.name}, and only integers and decimals can be reckoned with")
            ready.add(name)

    @property
    def is_state(self) -> bool:
        """Whether the source delivers the state of members (a dimension) rather than events."""
        return self.source != "sales"

    @property
    def mandatory(self) -> tuple[str, ...]:
        """Columns that a file must have: the required ones for which the contract has no other value."""
        return tuple(name for name, item in self.columns.items() if item.required and item.default is None and item.compute is None)

    def spellings(self) -> dict[str, str]:
        """Every accepted header, in lower case, with the column it means."""
        return {s.strip().lower(): name for name, item in self.columns.items() for s in (name, *item.aliases)}

    def table_columns(self) -> tuple[Column, ...]:
        """The contract's columns as columns of a table, in the contract's order."""
        return tuple(
            Column(name, item.column_type, item.description, nullable=item.may_be_null, pii=item.pii) for name, item in self.columns.items()
        )


def _decodes(encoding: str) -> bool:
    """Whether an encoding is one of texts; those that only escape text are none."""
    try:
        "".encode(encoding)
        return codecs.lookup(encoding).name not in _ESCAPES
    except (LookupError, UnicodeError, ValueError):
        return False


def _useless_format(pattern: str) -> str | None:
    """Why strptime cannot read a day with this pattern, or None if it can."""
    if "%" not in pattern:
        return f"{pattern!r} is no date format: use %Y for the year, %m for the month and %d for the day, such as %d/%m/%Y"
    try:
        back = datetime.strptime(_PROBE.strftime(pattern), pattern)  # noqa: DTZ007 (only the day is looked at)
    except (ValueError, re.error) as error:
        return f"{pattern!r} cannot be read ({error}): use %Y, %m, %d, %H, %M and %S, such as %d/%m/%Y"
    if (back.year, back.month, back.day) != (_PROBE.year, _PROBE.month, _PROBE.day):
        return f"{pattern!r} does not tell a day: it needs the year (%Y), the month (%m) and the day (%d)"
    return None
