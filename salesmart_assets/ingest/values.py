"""From text to typed values, exactly or not at all.

Blanks (spaces and tabs) around a number, date, time or truth value do not count. A number is digits, perhaps a sign in
front and a decimal sign within: no exponent, no thousands separators, no NaN, and only ASCII digits. Digits that the
type cannot keep are a fault, never rounded; zeros that it need not keep are not. An empty text is NULL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from salesmart_assets.contracts import ContractColumn
from salesmart_assets.ingest.digits import plain_numbers, values_at_once, values_but_few
from salesmart_assets.ingest.rows import Array, Places

_Reader: TypeAlias = Callable[[str], Any]
_BLANKS = " \t"
_FEW = 2000
"""So many texts are read sooner one by one than with a few passes over all."""
_INTEGERS = range(-(2**63), 2**63)
_TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
_ISO_DATE = ("%Y-%m-%d",)
_ISO_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?(Z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_DIGITS = {"%Y": "year", "%m": "month", "%d": "day", "%H": "hour", "%M": "minute", "%S": "second"}
"""Directives that stand for plain digits."""


class Unfit(Exception):
    """A text that is no value of the type; `kind` is the kind of code that says why."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Parsed:
    """Values of the column's type, NULL where the text is empty or unfit; `faults` gives the unfit ones' places by kind of code."""

    values: Array
    faults: dict[str, Places]


class Parser:
    """Reads the texts of one column of a contract.

    >>> from salesmart_assets.contracts import load_contracts
    >>> price = Parser(load_contracts()["sales"].columns["price"], ".")
    >>> price.one(" 1.50 "), price.one("1.500")
    (Decimal('1.50'), Decimal('1.50'))
    >>> price.all(pa.array(["1.5", "", "1e3", "1.005"])).faults
    {'type': array([2]), 'scale': array([3])}
    """

    def __init__(self, column: ContractColumn, decimal_sign: str) -> None:
        self.target = column.column_type.arrow
        self.kind = column.type
        self._sign = decimal_sign
        # Where there was an odd number, there will be more: what supposes that there is none is not tried first then.
        self._odd = False
        sign = re.escape(decimal_sign)
        self._number = re.compile(rf"([+-]?)([0-9]+)(?:{sign}([0-9]+))?")
        if decimal := column.column_type.decimal:
            precision, self._scale = decimal
            self._whole = precision - self._scale
            fraction = rf"[0-9]{{1,{self._scale}}}0*" if self._scale else "0+"
            digits = f"0*[0-9]{{1,{self._whole}}}" if self._whole else "0+"
            self._fits = rf"^[+-]?{digits}(?:{sign}{fraction})?$"
            self._polars: pl.DataType = pl.Decimal(precision, self._scale)
            self.one: _Reader = self._decimal
        elif column.type == "integer":
            # 18 digits always fit; the few longer ones are looked at one by one.
            self._fits = rf"^[+-]?0*[0-9]{{1,18}}(?:{sign}0+)?$"
            self._polars = pl.Int64()
            self.one = self._integer
        elif column.type == "date":
            formats: list[_Reader] = [_date_format(item) for item in column.date_formats]
            self.one = lambda text: _first(formats, text.strip(_BLANKS))
        elif column.type == "timestamp":
            moments: list[_Reader] = [_time_format(item) for item in column.date_formats]
            if column.date_formats == _ISO_DATE:
                moments = [_iso_time]
            self.one = lambda text: _first(moments, text.strip(_BLANKS))
        elif column.type == "boolean":
            self.one = _truth
        else:
            self.one = str

    def all(self, texts: Array) -> Parsed:
        """The values of a whole array of strings."""
        if pa.types.is_string(self.target):
            empty = pc.equal(texts, pa.scalar(""))
            return Parsed(pc.if_else(empty, pa.scalar(None, pa.string()), texts) if pc.any(empty).as_py() else texts, {})
        if pa.types.is_integer(self.target) or pa.types.is_decimal(self.target):
            return self._numbers(texts)
        return self._distinct(texts)

    def _numbers(self, texts: Array) -> Parsed:
        """Plain numbers at once, all others among themselves."""
        if not self._odd:
            values = values_at_once(texts, self.target, self._sign)
            if values is not None:
                return Parsed(values, {})
        few = values_but_few(texts, self.target, self._sign)
        self._odd = few is None or len(few[1]) > 0
        if few is not None:
            values, others = few
        else:
            found = plain_numbers(texts, self.target, self._sign)
            if found.whole:
                return Parsed(found.values(self.target), {})
            others = np.flatnonzero(~found.plain)
            if len(others) > len(texts) // 2:
                return self._numbers_in_any_form(texts)
            values = found.values(self.target)
        unplain = texts.take(pa.array(others))
        rest = self._each(unplain.to_pylist()) if len(others) <= _FEW else self._numbers_in_any_form(unplain)
        if rest.values.null_count < len(others):
            # To choose from both is several times faster than to replace in one.
            chosen = np.arange(len(values))
            chosen[others] = len(values) + np.arange(len(others))
            values = pa.concat_arrays([values, rest.values]).take(pa.array(chosen))
        return Parsed(values, {kind: others[at] for kind, at in rest.faults.items()})

    def _numbers_in_any_form(self, texts: Array) -> Parsed:
        text = pl.Series("text", texts)
        present = text.is_not_null() & (text != "")
        fits = text.str.contains(self._fits)
        if not fits.filter(present).all():
            text = text.str.strip_chars(_BLANKS)
            present = text.is_not_null() & (text != "")
            fits = text.str.contains(self._fits)
        plain = text.str.replace(self._sign, ".", literal=True) if self._sign != "." else text
        clean = fits.fill_null(value=False)
        plain = plain if clean.all() else pl.select(pl.when(clean).then(plain)).to_series()
        values = plain.cast(self._polars, strict=False)
        if values.null_count() > plain.null_count() and pa.types.is_integer(self.target):
            values = plain.str.replace(r"\.0+$", "").cast(self._polars, strict=False)
        result = values.to_arrow().cast(self.target)
        unsettled = np.flatnonzero((present & values.is_null()).to_numpy())
        if not len(unsettled):
            return Parsed(result, {})
        found = self._each(text.gather(unsettled).to_list())
        if found.values.null_count < len(unsettled):
            mask = np.zeros(len(result), np.bool_)
            mask[unsettled] = True
            result = pc.replace_with_mask(result, pa.array(mask), found.values)
        return Parsed(result, {kind: unsettled[at] for kind, at in found.faults.items()})

    def _distinct(self, texts: Array) -> Parsed:
        """Each different text once: days and truth values repeat."""
        encoded = texts.dictionary_encode()
        words = self._each(encoded.dictionary.to_pylist())
        faults = {}
        if words.faults:
            at = encoded.indices.fill_null(len(words.values)).to_numpy(zero_copy_only=False)
            for kind, unfit in words.faults.items():
                is_unfit = np.zeros(len(words.values) + 1, np.bool_)
                is_unfit[unfit] = True
                faults[kind] = np.flatnonzero(is_unfit[at])
        return Parsed(words.values.take(encoded.indices), faults)

    def _each(self, texts: Sequence[str | None]) -> Parsed:
        """One text after the other."""
        values: list[Any] = []
        faults: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            try:
                values.append(self.one(text) if text is not None and text.strip(_BLANKS) else None)
            except Unfit as unfit:
                values.append(None)
                faults.setdefault(unfit.kind, []).append(place)
        return Parsed(pa.array(values, self.target), {kind: np.array(places, np.int64) for kind, places in faults.items()})

    def _decimal(self, text: str) -> Decimal:
        match = self._number.fullmatch(text.strip(_BLANKS))
        if match is None:
            raise Unfit("type")
        sign, whole, fraction = match[1], match[2].lstrip("0"), (match[3] or "")
        if len(whole) > self._whole:
            raise Unfit("range")
        if len(fraction.rstrip("0")) > self._scale:
            raise Unfit("scale")
        return Decimal(f"{sign}{whole or 0}.{fraction[: self._scale]}")

    def _integer(self, text: str) -> int:
        match = self._number.fullmatch(text.strip(_BLANKS))
        if match is None:
            raise Unfit("type")
        if (match[3] or "").strip("0"):
            raise Unfit("scale")
        digits = match[2].lstrip("0") or "0"
        if len(digits) > 19 or int(match[1] + digits) not in _INTEGERS:
            raise Unfit("range")
        return int(match[1] + digits)


def _first(readers: list[_Reader], text: str) -> Any:
    kind = "format"
    for read in readers:
        try:
            return read(text)
        except Unfit as unfit:
            kind = unfit.kind if unfit.kind != "format" else kind
        except (ValueError, OverflowError):
            continue
    raise Unfit(kind)


def _truth(text: str) -> bool:
    try:
        return _TRUTH[text.strip(_BLANKS).lower()]
    except KeyError:
        raise Unfit("type") from None


def _date_format(pattern: str) -> Callable[[str], date]:
    """A reader of the day in one strptime pattern; a time in it is read and left out."""
    read = _moment_format(pattern)
    return lambda text: read(text).date()


def _time_format(pattern: str) -> Callable[[str], datetime]:
    read = _moment_format(pattern)
    return lambda text: _in_utc(read(text))


def _moment_format(pattern: str) -> Callable[[str], datetime]:
    """A reader of one strptime pattern. Months, days and times may be written with one digit where something separates them."""
    directives = re.findall("%.", pattern)
    plain = {"%Y", "%m", "%d"} <= set(directives) <= set(_DIGITS)
    if not plain or len(set(directives)) < pattern.count("%"):
        return lambda text: _strptime(text, pattern)
    # Text and directives in turn; the first and the last part are text, perhaps none.
    parts = re.split("(%[YmdHMS])", pattern)
    expression = _literal(parts[0])
    for at in range(1, len(parts), 2):
        joined = (at > 1 and not parts[at - 1]) or (at + 2 < len(parts) and not parts[at + 1])
        digits = "{4}" if parts[at] == "%Y" else "{2}" if joined else "{1,2}"
        expression += f"(?P<{parts[at][1]}>[0-9]{digits})" + _literal(parts[at + 1])
    compiled = re.compile(expression)

    def read(text: str) -> datetime:
        match = compiled.fullmatch(text)
        if match is None:
            raise Unfit("format")
        return datetime(**{_DIGITS[f"%{name}"]: int(digits) for name, digits in match.groupdict().items()})  # type: ignore[arg-type]  # noqa: DTZ001

    return read


def _literal(text: str) -> str:
    """What stands between directives, as an expression: blanks may be more than one."""
    return re.sub(r"(?:\\[ \t])+", "[ \\\\t]+", re.escape(text))


def _strptime(text: str, pattern: str) -> datetime:
    if any(sign.isdigit() and not sign.isascii() for sign in text):
        raise Unfit("format")
    # A time without a zone is meant in UTC; who wants the day wants it as it stands.
    return datetime.strptime(text, pattern)  # noqa: DTZ007


def _iso_time(text: str) -> datetime:
    match = _ISO_TIME.fullmatch(text)
    if match is None:
        raise Unfit("format")
    day, minute, second, fraction, zone = match.groups()
    if fraction and fraction[6:].strip("0"):
        raise Unfit("scale")
    micro = (fraction or "")[:6].ljust(6, "0")
    offset = {None: "+00:00", "Z": "+00:00"}.get(zone, zone)
    assert offset is not None
    return _in_utc(datetime.strptime(f"{day} {minute or '00:00'}:{second or '00'}.{micro}{offset}", "%Y-%m-%d %H:%M:%S.%f%z"))


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
