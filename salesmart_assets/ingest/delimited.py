"""CSV: from whole lines to rows of text.

Most lines of most files are simple: as many values as the header has names, quotes only around values. These are found
with a few passes over a block's bytes and parsed all at once. Each other line is looked at by itself, so that it can cost
nobody but itself: an unclosed quote, a NUL byte, a wrong number of values.

A quoted value may go on over several lines. An unclosed quote looks the same at first. It is taken for a value over
several lines only if the lines together make one record of the header's width in at most `MAX_RECORD_BYTES`, and none of
the lines after the first is a record of that width by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc_csv

from salesmart_assets.contracts import Contract
from salesmart_assets.ingest.content import ByteStream, FileRejected
from salesmart_assets.ingest.header import Header, delimiter_name, match, other_delimiter
from salesmart_assets.ingest.lines import KEPT_BYTES, MAX_LINE_BYTES, blocks
from salesmart_assets.ingest.quoting import QUOTE, End, scan, split
from salesmart_assets.ingest.rows import Array, Broken, Flags, Places, Rows, is_utf8, visible

MAX_RECORD_BYTES = 1 << 20
"""A quoted value that goes on over lines must end within so many bytes of its row's beginning."""

_TOLD_DELIMITER = re.compile(rb'"?sep=(.)"?', re.IGNORECASE | re.DOTALL)
"""A first line that Excel writes and reads."""

_PATIENCE = 3
"""After so many blocks that could not be read at once, a file is not tried so any more."""

_Skip: TypeAlias = Callable[[pc_csv.InvalidRow], Literal["skip"]]


class Delimited:
    """Reads a CSV stream: iterate over its rows; `header` is there from the first block on."""

    def __init__(self, stream: ByteStream, contract: Contract, block_bytes: int) -> None:
        self.header: Header | None = None
        self._stream = stream
        self._contract = contract
        self._block_bytes = block_bytes
        self._delimiter = contract.delimiter.encode()
        self._rows = 0
        self._told_delimiter = False
        self._in_vain = 0

    def __iter__(self) -> Iterator[Rows]:
        rest = b""
        for block, final in blocks(self._stream, self._block_bytes):
            data = rest + block if rest else block
            header, begin = (self.header, 0) if self.header is not None else self._read_header(data, final=final)
            if header is None:
                rest = data[begin:]
                continue
            self.header, data, rest = header, data[begin:], b""
            if data:
                rows, used = self._read(data, header, final=final)
                rest = data[used:]
                if len(rows.numbers) or rows.broken:
                    yield rows

    def _read_header(self, data: bytes, *, final: bool) -> tuple[Header | None, int]:
        """Find the header in the file's first lines: it, and where the rest begins; None where there is none (yet)."""
        lines = _Lines.of(data)
        first = self._first_line(data, lines)
        if first is None:
            # Blank lines before the header are no part of anything.
            return None, len(data)
        inside = False
        for last in range(first, lines.count):
            if lines.ends[last] - lines.starts[first] > MAX_RECORD_BYTES:
                break
            found = scan(lines.text(data, last), self._delimiter, inside=inside)
            if found.end is End.MALFORMED:
                break
            inside = found.end is End.OPEN
            if not inside:
                return self._header_of(data[lines.starts[first] : lines.ends[last]]), int(lines.nexts[last])
        else:
            if not final:
                return None, int(lines.starts[first])
        raise FileRejected("file.header", "a quote in the first line is not closed, or closed in the middle of a name")

    def _first_line(self, data: bytes, lines: _Lines) -> int | None:
        """The first line that is not blank, nor Excel's `sep=;`, which says what separates the values."""
        for line in range(lines.count):
            text = lines.text(data, line).strip()
            told = None if self._told_delimiter else _TOLD_DELIMITER.fullmatch(text)
            if text and told is None:
                return line
            if told is not None:
                self._told_delimiter = True
                if told[1] != self._delimiter:
                    wanted, seen = delimiter_name(self._contract.delimiter), delimiter_name(told[1].decode("latin-1"))
                    raise FileRejected(
                        "file.delimiter", f"its first line says that values are separated by {seen}, the contract says {wanted}"
                    )
        return None

    def _header_of(self, record: bytes) -> Header:
        if b"\0" in record:
            raise FileRejected("file.unreadable", "the first line holds NUL bytes; this is no text, or its encoding must be declared")
        try:
            text = record.decode("utf-8")
        except UnicodeDecodeError:
            raise FileRejected("file.encoding", "the header is not UTF-8; declare `encoding` in the contract, or deliver UTF-8") from None
        seen = other_delimiter(text, self._contract)
        if seen is not None:
            wanted = delimiter_name(self._contract.delimiter)
            raise FileRejected("file.delimiter", f"the names in the header are separated by {seen}, the contract says {wanted}")
        return match([name.decode("utf-8") for name in split(record, self._delimiter)], self._contract)

    def _read(self, data: bytes, header: Header, *, final: bool) -> tuple[Rows, int]:
        """The rows of a block, and how many of its bytes they take: a record that may go on in the next block is left."""
        width = len(header.names)
        wanted = sorted({*header.known.values(), *(header.extra.values() if self._contract.on_extra_column == "keep" else ())})
        found = self._read_at_once(data, width, wanted)
        if found is None or not all(_is_ragged(text, self._delimiter, width) for text in found.others.values()):
            return self._read_by_line(data, header, wanted, found, final=final)
        before = self._rows
        self._rows += found.lines
        rows = np.flatnonzero(found.simple)
        broken = [Broken(before + line + 1, ("row.ragged",), text) for line, text in found.others.items()]

        def raw(at: Places) -> list[str]:
            return [visible(text) for text in found.ends.texts(data, rows[at])]

        return self._rows_of(found.table, header, rows + (before + 1), raw, broken), len(data)

    def _read_at_once(self, data: bytes, width: int, wanted: Sequence[int]) -> _AtOnce | None:
        """What can be read of a block at once; None if some line that looks simple may not be.

        The parser's own count proves it: were there a blank line, or a value that goes on over a line's end, it would find
        fewer rows than lines. What it lets pass though it is no simple line is looked for first.
        """
        if self._in_vain >= _PATIENCE or b"\0" in data or not is_utf8(data) or not _lines_are_short(data):
            return None
        buffer = np.frombuffer(data, np.uint8)
        if b'"' in data and not _quotes_enclose(buffer, self._delimiter[0]):
            return None
        ends = buffer == 10
        if b"\r" in data and not (ends[1:] == (buffer[:-1] == 13)).all():
            # A line may end with CR alone.
            return None
        line_ends = _LineEnds.of(ends)
        others: dict[int, str] = {}

        def skip(row: pc_csv.InvalidRow) -> Literal["skip"]:
            assert row.number is not None
            others[row.number - 1] = row.text
            return "skip"

        found = _AtOnce(self._parsed(data, width, wanted, skip), line_ends, others)
        if found.lines != line_ends.count + (not data.endswith(b"\n")):
            self._in_vain += 1
            return None
        return found

    def _read_by_line(self, data: bytes, header: Header, wanted: Sequence[int], found: _AtOnce | None, *, final: bool) -> tuple[Rows, int]:
        """The rows of a block in which some line needs a look of its own; `found` is what could be read at once."""
        width = len(header.names)
        buffer = np.frombuffer(data, np.uint8)
        lines = _Lines.of(data, buffer)
        simple = _simple(data, buffer, lines, self._delimiter[0], width) if found is None else found.simple
        starts_row = lines.lengths > 0
        odd = _Odd(data, lines, simple, self._delimiter, width)
        limit = odd.read(starts_row, final=final)
        numbers = self._rows + np.cumsum(starts_row[:limit])
        if limit:
            self._rows = int(numbers[-1])
        used = int(lines.nexts[limit - 1]) if limit else 0
        simple = simple[:limit]
        places = np.flatnonzero(simple)
        table = self._parse(data, lines, simple, width, wanted) if found is None else found.table.slice(0, len(places))
        if len(table) != len(places):
            raise AssertionError(f"{len(places)} simple lines were parsed as {len(table)} rows")
        begins, ends = lines.starts[places], lines.ends[places]
        if odd.records:
            records = np.array([first for first, _, _ in odd.records], np.int64)
            texts = [[values[place] for _, _, values in odd.records] for place in wanted]
            more = pa.table([pa.array(column, pa.string()) for column in texts], names=[str(place) for place in wanted])
            places = np.concatenate([places, records])
            order = np.argsort(places)
            table = pa.concat_tables([table, more]).take(order)
            begins = np.concatenate([begins, lines.starts[records]])[order]
            ends = np.concatenate([ends, lines.ends[[last for _, last, _ in odd.records]]])[order]
            places = places[order]

        def raw(at: Places) -> list[str]:
            return [visible(data[begins[i] : ends[i]]) for i in at]

        broken = [Broken(int(numbers[i]), codes, text) for i, codes, text in odd.broken]
        return self._rows_of(table, header, numbers[places], raw, broken), used

    def _rows_of(
        self, table: pa.Table, header: Header, numbers: Places, raw: Callable[[Places], list[str]], broken: Sequence[Broken]
    ) -> Rows:
        columns = {name: _text(table, place) for name, place in header.known.items()}
        additional = None
        if header.extra and self._contract.on_extra_column == "keep":
            additional = _as_json({name: _text(table, place) for name, place in header.extra.items()})
        return Rows(numbers, columns, raw, additional, broken=broken)

    def _parse(self, data: bytes, lines: _Lines, simple: Flags, width: int, wanted: Sequence[int]) -> pa.Table:
        if not simple.any():
            return pa.table({str(place): pa.array([], pa.string()) for place in wanted})
        if len(simple) < lines.count or not (simple | (lines.lengths == 0)).all():
            edges = np.flatnonzero(np.diff(np.concatenate([[False], simple, [False]])))
            view = memoryview(data)
            parts = [view[lines.starts[a] : lines.nexts[b - 1]] for a, b in zip(edges[::2], edges[1::2], strict=True)]
            data = b"".join(parts)
        return self._parsed(data, width, wanted)

    def _parsed(self, data: bytes, width: int, wanted: Sequence[int], skip: _Skip | None = None) -> pa.Table:
        """The values of the wanted columns as texts; lines of another width go to `skip`, or are an error."""
        names = [str(place) for place in range(width)]
        return pc_csv.read_csv(
            pa.BufferReader(data),  # type: ignore[arg-type]
            pc_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
            pc_csv.ParseOptions(
                delimiter=self._contract.delimiter,
                quote_char='"' if b'"' in data else False,
                double_quote=True,
                escape_char=False,
                newlines_in_values=False,
                invalid_row_handler=skip,
            ),
            pc_csv.ConvertOptions(
                # The bytes were checked before.
                check_utf8=False,
                column_types={name: pa.string() for name in names},
                include_columns=[str(place) for place in wanted],
                strings_can_be_null=False,
            ),
        )


@dataclass(frozen=True, slots=True)
class _AtOnce:
    """What was read of a block at once: the rows of its simple lines, and by number the text of those that have another width.

    All of the block's `lines` end with LF, or CRLF, but perhaps the last; where, is in `ends`.
    """

    table: pa.Table
    ends: _LineEnds
    others: dict[int, str]

    @property
    def lines(self) -> int:
        return len(self.table) + len(self.others)

    @property
    def simple(self) -> Flags:
        flags = np.ones(self.lines, np.bool_)
        flags[list(self.others)] = False
        return flags


@dataclass(frozen=True, slots=True)
class _LineEnds:
    """The LFs of a block, a bit each: to count them and to find a few is much faster than to find all, as `_Lines` does.

    `until`: how many there are up to the end of each word.
    """

    words: npt.NDArray[np.uint64]
    until: Places

    @property
    def count(self) -> int:
        return int(self.until[-1])

    @classmethod
    def of(cls, flags: Flags) -> _LineEnds:
        packed = np.packbits(flags, bitorder="little")
        words = np.zeros(len(packed) // 8 + 1, "<u8")
        words.view(np.uint8)[: len(packed)] = packed
        return cls(words, np.cumsum(np.bitwise_count(words), dtype=np.int64))

    def texts(self, data: bytes, lines: Places) -> list[bytes]:
        """The texts of some lines, by ascending number, each without its end."""
        begins, ends = self._ends(lines - 1, len(data)) + 1, self._ends(lines, len(data))
        return [data[begin:end].removesuffix(b"\r") for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]

    def _ends(self, lines: Places, size: int) -> Places:
        """Where lines end: before the first one, that is -1, and the last one may have no end but the block's."""
        at = np.searchsorted(self.until, lines, "right")
        found = np.where(lines < 0, -1, size)
        inside = (lines >= 0) & (at < len(self.words))
        at, wanted = at[inside], lines[inside]
        words = self.words[at]
        # As many bits as there are line ends before this one in its word are cleared, the lowest first.
        before = wanted - self.until[at] + np.bitwise_count(words)
        for passed in range(int(before.max(initial=0))):
            words = np.where(before > passed, words & (words - np.uint64(1)), words)
        found[inside] = at * 64 + np.bitwise_count((words - np.uint64(1)) & ~words)
        return found


@dataclass(frozen=True, slots=True)
class _Lines:
    """Where the lines of a block are: the text of line i is `data[starts[i]:ends[i]]`, the next line begins at `nexts[i]`."""

    starts: Places
    ends: Places
    nexts: Places

    @property
    def count(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Places:
        return self.ends - self.starts

    def text(self, data: bytes, line: int) -> bytes:
        return data[self.starts[line] : self.ends[line]]

    @classmethod
    def of(cls, data: bytes, buffer: npt.NDArray[np.uint8] | None = None) -> _Lines:
        buffer = np.frombuffer(data, np.uint8) if buffer is None else buffer
        nexts = np.flatnonzero(buffer == 10) + 1
        returns = b"\r" in data
        if returns:
            carriage = np.flatnonzero(buffer == 13)
            alone = carriage[np.append(buffer, 0)[carriage + 1] != 10]
            if len(alone):
                nexts = np.sort(np.concatenate([nexts, alone + 1]))
        last = int(nexts[-1]) if len(nexts) else 0
        if last < len(data):
            nexts = np.append(nexts, len(data) + 1)
        starts = np.concatenate([np.zeros(1, nexts.dtype), nexts[:-1]])
        ends = nexts - 1
        nexts = np.minimum(nexts, len(data))
        if returns:
            before = np.maximum(ends - 1, 0)
            both = (ends > starts) & (buffer[before] == 13) & (buffer[np.minimum(ends, len(data) - 1)] == 10)
            ends = ends - both
        return cls(starts, ends, nexts)


def _is_ragged(line: str, delimiter: bytes, width: int) -> bool:
    """Whether a line that the parser passed over is a row by itself, but for the number of its values."""
    if '"' not in line:
        return bool(line.strip(" \t"))
    found = scan(line.encode(), delimiter)
    return found.end is End.COMPLETE and found.values != width


def _lines_are_short(data: bytes) -> bool:
    """Whether no line can be longer than `MAX_LINE_BYTES`: each stretch of so many bytes has a line's end in it."""
    at = 0
    while len(data) - at > MAX_LINE_BYTES:
        end = data.rfind(b"\n", at, at + MAX_LINE_BYTES + 1)
        if end < 0:
            return False
        at = end + 1
    return True


def _quotes_enclose(buffer: npt.NDArray[np.uint8], delimiter: int) -> bool:
    """Whether quotes, two by two, stand around whole values; if no value goes on over lines, that holds in each line."""
    quotes = np.flatnonzero(buffer == QUOTE)
    return len(quotes) % 2 == 0 and not len(_misplaced(buffer, quotes, delimiter))


def _misplaced(buffer: npt.NDArray[np.uint8], quotes: Places, delimiter: int) -> Places:
    """Those of the quotes, which open and close by turns, that do not stand where a value begins or ends."""
    opening, closing = quotes[::2], quotes[1::2]
    # A doubled quote looks like the end of a quoted value and the beginning of another: the two are side by side.
    doubled = np.flatnonzero(closing[:-1] + 1 == opening[1:])
    ends_value = np.zeros(256, np.bool_)
    ends_value[[delimiter, 10, 13]] = True
    before = ends_value[buffer[np.maximum(opening - 1, 0)]] | (opening == 0)
    after = ends_value[buffer[np.minimum(closing + 1, len(buffer) - 1)]] | (closing + 1 == len(buffer))
    before[doubled + 1] = True
    after[doubled] = True
    return np.concatenate([opening[~before], closing[~after]])


def _simple(data: bytes, buffer: npt.NDArray[np.uint8], lines: _Lines, delimiter: int, width: int) -> Flags:
    """Which lines are simple: `width` values, quotes only around whole values and never inside, nothing that is no text."""
    lengths = lines.lengths
    simple = (lengths > 0) & (lengths <= MAX_LINE_BYTES)
    delimiters = np.flatnonzero(buffer == delimiter)
    if b'"' in data:
        quotes = np.flatnonzero(buffer == QUOTE)
        counts = _counts(quotes, lines)
        uneven = counts % 2 == 1
        if uneven.any():
            simple[uneven] = False
            quotes = quotes[~np.repeat(uneven, counts)]
        opening, closing = quotes[::2], quotes[1::2]
        simple[_line_of(_misplaced(buffer, quotes, delimiter), lines)] = False
        # In a simple line, a delimiter between two quotes is part of a value.
        first, behind = np.searchsorted(delimiters, opening), np.searchsorted(delimiters, closing)
        held = behind - first
        if held.any():
            begins = np.cumsum(held) - held
            inside = np.repeat(first - begins, held) + np.arange(held.sum())
            delimiters = np.delete(delimiters, inside)
    simple &= _has_width(delimiters, lines, width)
    if b"\0" in data:
        simple[_line_of(np.flatnonzero(buffer == 0), lines)] = False
    if not is_utf8(data):
        for line in np.unique(_line_of(np.flatnonzero(buffer > 127), lines)):
            simple[line] &= is_utf8(lines.text(data, line))
    return simple


def _line_of(positions: Places, lines: _Lines) -> Places:
    """The line that each position is in."""
    return np.searchsorted(lines.nexts, positions, "right")


def _counts(positions: Places, lines: _Lines) -> Places:
    """How many of the positions are in each line; the fewer of the two are looked up among the others."""
    if len(positions) < lines.count:
        return np.bincount(_line_of(positions, lines), minlength=lines.count)
    return np.diff(np.searchsorted(positions, lines.nexts), prepend=0)


def _has_width(delimiters: Places, lines: _Lines, width: int) -> Flags:
    each = width - 1
    if each and len(delimiters) == lines.count * each:
        grid = delimiters.reshape(lines.count, each)
        # The usual case, without counting: the n-th delimiters all lie in the n-th line.
        if (grid[:, 0] >= lines.starts).all() and (grid[:, -1] < lines.nexts).all():
            return np.ones(lines.count, np.bool_)
    flags: Flags = _counts(delimiters, lines) == each
    return flags


class _Odd:
    """The lines of a block that are not simple, one by one.

    `records`: (first line, last line, values) of those that are rows after all. `broken`: (line, codes, text).
    """

    def __init__(self, data: bytes, lines: _Lines, simple: Flags, delimiter: bytes, width: int) -> None:
        self.records: list[tuple[int, int, list[str]]] = []
        self.broken: list[tuple[int, tuple[str, ...], str]] = []
        self._data = data
        self._lines = lines
        self._simple = simple
        self._delimiter = delimiter
        self._width = width

    def read(self, starts_row: Flags, *, final: bool) -> int:
        """Read them all, and clear `starts_row` where a line is blank or goes on a row; returns how many lines of the block are settled."""
        done = 0
        for line in np.flatnonzero(starts_row & ~self._simple).tolist():
            if line < done:
                continue
            last = self._read_one(line, starts_row, final=final)
            if last is None:
                return int(line)
            done = last + 1
        return self._lines.count

    def _read_one(self, line: int, starts_row: Flags, *, final: bool) -> int | None:
        """Settle one odd line; returns the last line that belongs to it, or None where the block ends before that is known."""
        text = self._lines.text(self._data, line)
        if len(text) > MAX_LINE_BYTES:
            self.broken.append((line, ("row.too_long",), visible(text[:KEPT_BYTES])))
            return line
        if not text.strip(b" \t"):
            starts_row[line] = self._delimiter in text
            if not starts_row[line]:
                return line
        found = scan(text, self._delimiter)
        last = line
        if found.end is End.OPEN:
            settled = self._go_on(line, found.values, final=final)
            if settled is None:
                return None
            last = settled
            starts_row[line + 1 : last + 1] = False
            text = self._data[self._lines.starts[line] : self._lines.ends[last]]
        goes_on = last > line
        codes = (
            ("row.quote", found.end is not End.COMPLETE and not goes_on),
            ("row.ragged", found.end is End.COMPLETE and found.values != self._width),
            ("row.nul_byte", b"\0" in text),
            ("row.encoding", not is_utf8(text)),
        )
        if any(broken for _, broken in codes):
            self.broken.append((line, tuple(code for code, broken in codes if broken), visible(text)))
        else:
            self.records.append((line, last, [value.decode("utf-8") for value in split(text, self._delimiter)]))
        return last

    def _go_on(self, line: int, values: int, *, final: bool) -> int | None:
        """The line in which a record ends that is open at the end of `line`; `line` if it never does, None if that is not known yet."""
        begin = int(self._lines.starts[line])
        looks_whole = self._data.count(self._delimiter, begin, int(self._lines.ends[line])) >= self._width - 1
        for last in range(line + 1, self._lines.count):
            if self._lines.ends[last] - begin > MAX_RECORD_BYTES or self._simple[last]:
                return line
            text = self._lines.text(self._data, last)
            alone = scan(text, self._delimiter)
            if alone.end is End.COMPLETE and alone.values == self._width and (looks_whole or not alone.literal):
                return line
            found = scan(text, self._delimiter, inside=True)
            values += found.values
            if found.end is End.MALFORMED or values > self._width:
                return line
            if found.end is End.COMPLETE:
                return last if values == self._width else line
        return line if final or len(self._data) - begin > MAX_RECORD_BYTES else None


def _text(table: pa.Table, place: int) -> Array:
    chunks: Array = table.column(str(place))
    return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


def _as_json(columns: dict[str, Array]) -> Array:
    """One JSON object a row, of texts; an empty text is null."""
    frame = pl.DataFrame({name: pl.Series(name, column).replace("", None) for name, column in columns.items()})
    return frame.select(pl.struct(pl.all()).struct.json_encode().alias("json"))["json"].to_arrow().cast(pa.string())
