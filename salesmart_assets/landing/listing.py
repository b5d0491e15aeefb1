"""Reading a store's listings quickly: the objects of a page, taken from the answer's XML before boto3 reads all of it.

boto3 spends a tenth of a millisecond on every object, most of it on the time. At 100,000 objects that is all the time a tick has.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError, ParserCreate

from botocore.utils import parse_timestamp

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_OBJECTS = {"ListObjectsV2": ("Contents", "Contents"), "ListObjectVersions": ("Version", "Versions")}


def read_listings_quickly(client: S3Client) -> None:
    """Make the client's listings cheap. Of each object they tell key, time, ETag, size and version, and no more; doing it twice is once."""
    # One of boto3's own handlers parses every answer to find errors that came as a success. A handler under a star is called
    # before those under a name, so under this one the answer is short when theirs see it.
    for name in _OBJECTS:
        client.meta.events.register_first(f"before-parse.*.{name}", _before_parse, unique_id=f"salesmart-{name}")


def _before_parse(operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] != 200:
        return
    tag, name = _OBJECTS[operation_model.name]
    try:
        objects, rest = _taken_out(response_dict["body"], tag)
    except ExpatError:
        return  # boto3 says what is wrong with it
    if objects:
        customized_response_dict[name], response_dict["body"] = objects, rest


def _taken_out(answer: bytes, tag: str) -> tuple[list[dict[str, Any]], bytes]:
    """The objects of an answer, and its XML without them.

    No tree is built: the garbage collector would look again and again at its thousands of nodes and at all else in memory.

    >>> _taken_out(b"<R><V><Key>a</Key><LastModified>2024-01-31T08:00:01Z</LastModified><ETag/><Size>3</Size></V><Is>no</Is></R>", "V")[1]
    b'<R><Is>no</Is></R>'
    """
    objects: list[dict[str, Any]] = []
    rest: list[bytes] = []
    fields: dict[str, str] | None = None  # of the object that is being read
    depth, field, begin = 0, "", 0

    def start(name: str, _: object) -> None:
        nonlocal depth, field, fields
        depth += 1
        if depth == 2 and name.rpartition("}")[2] == tag:
            rest.append(answer[begin : parser.CurrentByteIndex])
            fields = {}
            parser.CharacterDataHandler = text
        elif depth == 3 and fields is not None:
            field = name.rpartition("}")[2]
            fields[field] = ""

    def text(part: str) -> None:
        if depth == 3 and fields is not None:
            fields[field] += part

    def end(_: str) -> None:
        nonlocal begin, depth, fields
        depth -= 1
        if depth == 1 and fields is not None:
            objects.append(_object(fields))
            begin = answer.index(b">", parser.CurrentByteIndex) + 1
            fields, parser.CharacterDataHandler = None, None

    parser = ParserCreate("utf-8", "}")  # boto3 takes every answer for UTF-8, too
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(answer, True)
    parser.StartElementHandler = parser.EndElementHandler = None  # they know the parser: no circle is left for the collector
    return objects, b"".join((*rest, answer[begin:]))


def _object(fields: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Key": fields["Key"],
        "LastModified": _time(fields["LastModified"]),
        "ETag": fields["ETag"],
        "Size": int(fields["Size"]),
    }
    if "IsLatest" in fields:
        found["VersionId"] = fields.get("VersionId", "")
        found["IsLatest"] = fields["IsLatest"] == "true"
    return found


def _time(text: str) -> datetime:
    """A time of a listing, in UTC.

    >>> _time("2024-01-31T08:00:01.250Z").isoformat()
    '2024-01-31T08:00:01.250000+00:00'
    """
    if text.endswith("Z"):
        try:
            return datetime.fromisoformat(f"{text[:-1]}+00:00")
        except ValueError:
            pass  # written in a way that Python 3.10 does not read
    return parse_timestamp(text)
