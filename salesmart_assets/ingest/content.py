"""What a file holds: its compression, its format and its encoding, told from its first bytes rather than from its name.

Belongs here: opening a file as a stream of plain bytes (UTF-8 for text), and telling in whole sentences what is no such
thing. Does not belong here: lines, rows and values.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol

from salesmart_assets.contracts import Contract

Format = Literal["csv", "json", "parquet"]
_JSON_NAMES = (".json", ".jsonl", ".ndjson")
_HEAD = 64 << 10
"""Bytes looked at to tell the format."""

_FOREIGN = (
    (b"PK\x03\x04", "a zip archive (or an Excel workbook)"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"PARE", "an encrypted Parquet file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class FileRejected(Exception):
    """The file cannot be used at all. Caught by the kernel, which reports `code: detail`; never leaves this package."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")


class ByteStream(Protocol):
    """What the readers need of an open file."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, all there are if it is negative; nothing only at the end."""
        ...


@contextmanager
def gzip_faults() -> Iterator[None]:
    """Turn what gzip says of broken content into a `FileRejected`."""
    try:
        yield
    except EOFError:
        raise FileRejected("file.truncated", "the gzip stream ends too early; upload the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise FileRejected("file.unreadable", f"the gzip stream is damaged ({error}); upload the file again") from None


def _unescapable(error: UnicodeError) -> tuple[str, int]:
    """Decoding continues after bytes without a meaning; they come out as bytes that are no UTF-8, so that only their row suffers."""
    assert isinstance(error, UnicodeDecodeError)
    broken = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) if byte > 127 else "\udcff" for byte in broken), error.end


codecs.register_error("salesmart.keep", _unescapable)


class Recoded:
    """A stream of text in some encoding, read as UTF-8. What cannot be decoded stays invalid in the output."""

    def __init__(self, stream: ByteStream, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("salesmart.keep")

    def read(self, size: int = -1, /) -> bytes:
        """About `size` bytes; nothing only at the end."""
        while True:
            taken = self._stream.read(size)
            # utf-16 and utf-32 give lone surrogates of the text itself no other way out than as invalid bytes.
            text = self._decoder.decode(taken, not taken).encode("utf-8", "surrogateescape_or_pass")
            if text or not taken:
                return text


def _escape_or_pass(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    point = ord(error.object[error.start])
    return (bytes([point - 0xDC00]) if 0xDC80 <= point <= 0xDCFF else b"\xff"), error.start + 1


codecs.register_error("surrogateescape_or_pass", _escape_or_pass)


class Prefixed:
    """A stream with bytes put back in front of it."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; nothing only at the end."""
        if not self._head:
            return self._stream.read(size)
        taken = self._head if size < 0 else self._head[:size]
        self._head = self._head[len(taken) :]
        return taken


class Content:
    """An open file: `format`, whether it is `compressed`, and for text the `stream` of its UTF-8 bytes without a byte order mark.

    Until `open` has looked, the format is what the name says. Raises OSError where the file cannot be read from disk.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._stem = name.lower().removesuffix(".gz").removesuffix(".gzip")
        self.format: Format = (
            "json" if self._stem.endswith(_JSON_NAMES) else "parquet" if self._stem.endswith((".parquet", ".pq")) else "csv"
        )
        self.stream: ByteStream = io.BytesIO()
        self._file: IO[bytes] = path.open("rb")
        self.compressed = False

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @property
    def kind(self) -> str:
        """The format as it is reported, such as `csv` or `csv.gz`."""
        return f"{self.format}.gz" if self.compressed else self.format

    def open(self, contract: Contract) -> None:
        """Look at the content and make `stream` ready. Raises `FileRejected` where it is none of the three formats."""
        head = self._file.read(8)
        self._file.seek(0)
        plain: ByteStream = self._file
        if head.startswith(b"\x1f\x8b"):
            self.compressed = True
            plain = gzip.GzipFile(fileobj=self._file)
        with gzip_faults():
            head = read_up_to(plain, _HEAD)
        if head.startswith(b"PAR1"):
            self.format = "parquet"
            if self.compressed:
                raise FileRejected("file.unreadable", "a Parquet file inside gzip; deliver it as it is, Parquet compresses by itself")
            return
        if head.startswith(b"\x1f\x8b"):
            raise FileRejected("file.unreadable", "gzip inside gzip; compress the file once")
        for magic, what in _FOREIGN:
            if head.startswith(magic):
                raise FileRejected("file.unreadable", f"the content is {what}; deliver CSV, JSON lines or Parquet, plain or gzip")
        if not head:
            return
        encoding, mark = _encoding(head, contract.encoding)
        self.stream = Prefixed(head[len(mark) :] if encoding == "utf-8" else head, plain)
        if encoding != "utf-8":
            self.stream = Recoded(self.stream, encoding)
            with gzip_faults():
                head = read_up_to(self.stream, _HEAD)
            head = head.removeprefix(codecs.BOM_UTF8)
            self.stream = Prefixed(head, self.stream)
        self.format = _text_format(head[len(mark) :] if encoding == "utf-8" else head, self._stem)


def read_up_to(stream: ByteStream, size: int) -> bytes:
    """`size` bytes, fewer only at the end."""
    parts, missing = [], size
    while missing > 0 and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _encoding(head: bytes, declared: str | None) -> tuple[str, bytes]:
    """The text's encoding and its byte order mark: a mark decides, then the contract, else it is UTF-8."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, mark
    encoding = codecs.lookup(declared).name if declared else "utf-8"
    if encoding == "utf-8" and head[:200].count(0) * 3 > len(head[:200]):
        raise FileRejected("file.encoding", "the text looks like UTF-16 without a byte order mark; deliver UTF-8, or declare `encoding`")
    return ("utf-8" if encoding == "utf-8-sig" else encoding), b""


def _text_format(head: bytes, stem: str) -> Format:
    """Whether a text is CSV or JSON lines: a line that begins with `{` settles it, a name that ends in .csv needs the first one."""
    lines = [line for line in (line.strip() for line in head.splitlines()) if line]
    named = stem.endswith(_JSON_NAMES)
    if not lines:
        return "json" if named else "csv"
    first = lines[0]
    if first.startswith(b"[") and (
        first[1:].lstrip()[:1] in (b"{", b"]") or (first == b"[" and len(lines) > 1 and lines[1].startswith(b"{"))
    ):
        raise FileRejected("file.unreadable", "a JSON array; deliver JSON lines, one object a line")
    if named:
        return "json" if any(line.startswith(b"{") for line in lines) else "csv"
    # A row of Avro or of a template may begin with a brace: a name follows in JSON, or nothing.
    return "json" if first.startswith(b"{") and first[1:].lstrip()[:1] in (b'"', b"}", b"") else "csv"
