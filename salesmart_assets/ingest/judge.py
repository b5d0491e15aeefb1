"""The contract's verdict on rows: typed values, and every rule that a row broke.

Belongs here: NULLs and what stands in for them, limits, patterns, listed values and row rules. Does not belong here: how
a format is read (`Rows`) or how a text becomes a value (`values`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from salesmart_assets.contracts import Contract, ContractColumn, Misstated, RowRule
from salesmart_assets.contracts.needs import NEEDS
from salesmart_assets.ingest.codes import ROW_CODES
from salesmart_assets.ingest.compute import Computation
from salesmart_assets.ingest.rows import Array, Places, Rows, nulls
from salesmart_assets.ingest.values import Parser, Unfit

Faults = Iterator[tuple[str, Places]]
_CALENDAR = date(1, 1, 1), date(9999, 12, 31)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Typed columns in the contract's order, and by place the codes of the rows that broke a rule, in the contract's order."""

    columns: list[Array]
    codes: dict[int, list[str]]


def check_contract(contract: Contract) -> None:
    """Find out whether a contract can be applied, before there is a file. Raises `Misstated` where it cannot."""
    Judge(contract)


class Judge:
    """Applies a contract to rows.

    Raises `Misstated`, a `ContractError`, where the contract cannot be applied at all: a limit that is no value of its
    column, a rule that is no expression over the contract's columns.
    """

    def __init__(self, contract: Contract) -> None:
        self._columns = [_ColumnJudge(contract, name, column) for name, column in contract.columns.items()]
        self._computed = {name: Computation(contract, name, item.compute) for name, item in contract.columns.items() if item.compute}
        self._rules = [_RuleJudge(contract, place, rule) for place, rule in enumerate(contract.rules)]

    def judge(self, rows: Rows) -> Verdict:
        """The verdict on rows."""
        codes: dict[int, list[str]] = {}

        def note(code: str, places: Places) -> None:
            for place in places.tolist():
                codes.setdefault(place, []).append(code)

        forced: dict[str, list[tuple[int, str]]] = {}
        for place, name, kind in rows.faults:
            forced.setdefault(name, []).append((place, kind))
        read: dict[str, Read] = {}
        for column in self._columns:
            given = rows.columns.get(column.name)
            array = nulls(len(rows.numbers), column.target) if given is None else given
            read[column.name] = column.read(array, forced.get(column.name, ()))
        for name, computation in self._computed.items():
            if read[name].values.null_count:
                read[name] = _computed(read, name, computation)
        for column in self._columns:
            for code, places in column.judge(read[column.name]):
                note(code, places)
        values = {name: item.values for name, item in read.items()}
        for rule in self._rules:
            note(*rule.judge(values))
        return Verdict(list(values.values()), codes)


@dataclass(frozen=True, slots=True)
class Read:
    """A column's values, NULL where there is none; `faults`: the places of unfit ones by kind of code.

    `excused`: places that are empty only because another column is unfit, which is told there.
    """

    values: Array
    faults: dict[str, Places]
    excused: Places = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def absent(self) -> Places:
        """The places for which the file says nothing: empty, and not for a fault."""
        told = np.zeros(len(self.values), np.bool_)
        for places in (*self.faults.values(), self.excused):
            told[places] = True
        if np.count_nonzero(told) == self.values.null_count:
            # No value has a fault, so that this is all.
            return np.zeros(0, np.int64)
        missing = _places(self.values.is_null())
        return missing[~told[missing]]

    def filled(self, at: Places, values: Array) -> Array:
        """The column's values with others in the places `at`."""
        if len(at) == len(self.values):
            return values
        mask = np.zeros(len(self.values), np.bool_)
        mask[at] = True
        return pc.replace_with_mask(self.values, pa.array(mask), values)


def _computed(read: dict[str, Read], name: str, computation: Computation) -> Read:
    """The column with computed values where the file gives none."""
    column = read[name]
    at = column.absent
    if not len(at):
        return column
    whole = len(at) == len(column.values)
    found = computation.over({n: read[n].values if whole else read[n].values.take(pa.array(at)) for n in computation.reads}, len(at))
    faults = dict(column.faults)
    for kind, places in found.faults.items():
        faults[kind] = np.union1d(faults.get(kind, np.zeros(0, np.int64)), at[places])
    unfit = [places for n in computation.reads for places in (*read[n].faults.values(), read[n].excused)]
    excused = np.intersect1d(np.concatenate(unfit), at) if unfit else column.excused
    return Read(column.filled(at, found.values), faults, excused)


class _ColumnJudge:
    def __init__(self, contract: Contract, name: str, column: ContractColumn) -> None:
        self.name = name
        self.target = column.column_type.arrow
        self._parser = Parser(column, contract.decimal_sign)
        self._may_be_null = column.may_be_null
        need = NEEDS[contract.source].get(name)
        self._days = need.days if need else None
        self._source = contract.source
        plain = Parser(column.model_copy(update={"date_formats": ("%Y-%m-%d", *column.date_formats)}), ".")
        self._min = self._limit(column.min, plain, "min")
        self._max = self._limit(column.max, plain, "max")
        self._values = None
        if column.values:
            self._values = pa.array([self._value(v, plain, "values", at) for at, v in enumerate(column.values)], self.target)
        self._pattern = re.compile(column.pattern) if column.pattern is not None else None
        if self._min is not None and self._max is not None and self._min.as_py() > self._max.as_py():
            raise self._misstated(f"the smallest value, {column.min}, is above the largest, {column.max}: correct one of them", "min")
        self._default = self._limit(column.default, plain, "default")
        if self._default is not None:
            broken = [code for code, places in self.judge(Read(pa.array([self._default.as_py()], self.target), {})) if len(places)]
            if broken:
                rule = broken[0].partition(":")[0]
                raise self._misstated(f"{column.default!r} breaks the column's own rule `{rule}`: correct one of the two", "default")

    def _misstated(self, says: str, *key: str | int) -> Misstated:
        return Misstated(self._source, ("columns", self.name, *key), says)

    def _limit(self, text: str | None, parser: Parser, key: str) -> pa.Scalar[Any] | None:
        return None if text is None else pa.scalar(self._value(text, parser, key), self.target)

    def _value(self, text: str, parser: Parser, *key: str | int) -> Any:
        try:
            return parser.one(text)
        except Unfit:
            how = {"date": "2026-01-31", "timestamp": "2026-01-31T08:00:00", "boolean": "true"}.get(str(self._parser.kind), "10")
            says = f"{text!r} is no value of the column's type, {self._parser.kind}: write one, such as {how}"
            raise self._misstated(says, *key) from None

    def read(self, array: Array, forced: list[tuple[int, str]] | tuple[()]) -> Read:
        """The column's values: from texts, or as they are; the default where there is none."""
        faults: dict[str, Places] = {}
        if pa.types.is_string(array.type):
            parsed = self._parser.all(array)
            values, faults = parsed.values, parsed.faults
        else:
            values = array
        if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
            values, faults = _in_calendar(values, faults)
        for place, kind in forced:
            faults[kind] = np.append(faults.get(kind, np.array([], np.int64)), place)
        found = Read(values, faults)
        if self._default is None or not values.null_count:
            return found
        at = found.absent
        return Read(found.filled(at, self._defaults(len(at))), faults)

    def _defaults(self, count: int) -> Array:
        assert self._default is not None
        return pa.array([self._default.as_py()], self.target).take(np.zeros(count, np.int64))

    def judge(self, read: Read) -> Faults:
        """The places of rows that break a rule of the column, by code."""
        values = read.values
        if values.null_count and not self._may_be_null:
            yield f"null:{self.name}", read.absent
        yield from self._faults(values, read.faults)

    def _faults(self, values: Array, faults: dict[str, Places]) -> Faults:
        for kind, places in faults.items():
            yield f"{kind}:{self.name}", places
        if self._days is not None:
            yield f"range:{self.name}", _places(_outside(values, self._days))
        if self._min is not None:
            yield f"min:{self.name}", _places(pc.less(values, self._min))
        if self._max is not None:
            yield f"max:{self.name}", _places(pc.greater(values, self._max))
        if self._pattern is not None:
            yield f"pattern:{self.name}", _places(_distinct(values, self._matches))
        if self._values is not None:
            yield f"values:{self.name}", _places(pc.and_(values.is_valid(), pc.invert(pc.is_in(values, self._values))))

    def _matches(self, text: str) -> bool:
        assert self._pattern is not None
        return self._pattern.fullmatch(text) is None


class _RuleJudge:
    """One row rule. Rows in which a column of the rule is NULL, or was no value, are not judged."""

    def __init__(self, contract: Contract, number: int, rule: RowRule) -> None:
        self._code = f"row.{rule.name}"
        place = ("rules", number, "expression")
        if self._code in ROW_CODES:
            raise Misstated(contract.source, ("rules", number, "name"), f"{rule.name} has a meaning of its own: choose another name")
        # Two rows, so that an expression that makes one value of all rows is told from one that judges each.
        empty = pl.DataFrame({c.name: pl.Series(nulls(2, c.type.arrow)) for c in contract.table_columns()})
        try:
            self._expression = pl.sql_expr(rule.expression)
            result = empty.select(self._expression.alias("verdict"))["verdict"]
        except pl.exceptions.PolarsError as error:
            said = (str(error).splitlines() or ["it cannot be read"])[0]
            says = f"{rule.expression!r} is no expression over the contract's columns ({said}): use their names and SQL's operators"
            raise Misstated(contract.source, place, says) from None
        self._columns = sorted(set(self._expression.meta.root_names()))
        if not self._columns or len(result) != 2 or result.dtype != pl.Boolean or ".over(" in str(self._expression):
            says = f"{rule.expression!r} must compare columns of one row, such as `total_cost >= price`"
            raise Misstated(contract.source, place, says)

    def judge(self, values: dict[str, Array]) -> tuple[str, Places]:
        holds = self._holds(pl.DataFrame({name: pl.Series(values[name]) for name in self._columns}))
        for name in self._columns:
            if values[name].null_count:
                holds = holds | values[name].is_null().to_numpy(zero_copy_only=False)
        return self._code, np.flatnonzero(~holds)

    def _holds(self, frame: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
        try:
            return frame.select(self._expression.alias("verdict"))["verdict"].fill_null(value=False).to_numpy()
        except pl.exceptions.PolarsError:
            # One row, in which there is a division by zero, say, must not take the others with it.
            if frame.height == 1:
                return np.zeros(1, np.bool_)
            half = frame.height // 2
            return np.concatenate([self._holds(frame[:half]), self._holds(frame[half:])])


def _in_calendar(values: Array, faults: dict[str, Places]) -> tuple[Array, dict[str, Places]]:
    """Days and moments of the years 1 to 9999; a Parquet file may say others, which no database takes."""
    outside = _outside(values.cast(pa.date32(), safe=False), _CALENDAR)
    if not pc.any(outside).as_py():
        return values, faults
    return pc.if_else(outside, pa.scalar(None, values.type), values), {**faults, "range": _places(outside)}


def _outside(days: Array, span: tuple[date, date]) -> Array:
    return pc.or_(pc.less(days, pa.scalar(span[0])), pc.greater(days, pa.scalar(span[1])))


def _places(flags: Any) -> Places:
    """The places of what is true, not of what is NULL. To filter all places is faster than to ask for those."""
    places: Places = _counted(len(flags)).filter(flags).to_numpy()
    return places


@lru_cache(maxsize=8)
def _counted(count: int) -> Array:
    """The numbers from 0 on: they are asked for once for each rule of a block."""
    return pa.array(np.arange(count))


def _distinct(values: Array, test: Callable[[str], bool]) -> Array:
    """A test of each value's text, made once for each different one; NULL for NULL."""
    encoded = values.cast(pa.string()).dictionary_encode()
    return pa.array([test(text) for text in encoded.dictionary.to_pylist()], pa.bool_()).take(encoded.indices)
