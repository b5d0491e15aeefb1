"""A stream of text as blocks of whole lines, in bounded memory.

A line ends with LF, CRLF or CR. Belongs here: where lines end, and lines too long to be rows. Does not belong here: what
a line says.
"""

from __future__ import annotations

from collections.abc import Iterator

from salesmart_assets.ingest.content import ByteStream, gzip_faults, read_up_to

MAX_LINE_BYTES = 4 << 20
"""A longer line is no row of a table: it is rejected, and only its first `KEPT_BYTES` are kept."""
KEPT_BYTES = 4 << 10


def blocks(stream: ByteStream, block_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Blocks of about `block_bytes` that end where a line ends, each with whether it is the last. None is empty.

    A line longer than `MAX_LINE_BYTES` comes cut to one byte more than that, so that the reader sees that it is too long.
    """
    ready = rest = b""
    skipping = False
    while True:
        with gzip_faults():
            taken = read_up_to(stream, block_bytes)
        if not taken:
            break
        if skipping:
            end = min((end for end in (taken.find(b"\n"), taken.find(b"\r")) if end >= 0), default=-1)
            if end < 0:
                continue
            # The end of the line stays, to end what is kept of it.
            taken, skipping = taken[end:], False
        # A CR at the very end may be the first half of a CRLF.
        end = max(taken.rfind(b"\n"), taken.rfind(b"\r", 0, len(taken) - 1)) + 1
        if end or rest.endswith(b"\r"):
            if ready:
                yield ready, False
            ready, rest = b"".join((rest, memoryview(taken)[:end])), taken[end:]
        else:
            rest += taken
        if len(rest) > MAX_LINE_BYTES + 1 and not rest.endswith(b"\r"):
            rest, skipping = rest[: MAX_LINE_BYTES + 1], True
    if ready or rest:
        yield ready + rest, True
