"""Reading a store's listings quickly: the objects of a page, taken from the answer's XML before boto3 reads all of it.

boto3 spends a tenth of a millisecond on every object, most of it on the time. At 100,000 objects that is all the time a tick has.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from botocore.utils import parse_timestamp

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_OBJECTS = {"ListObjectsV2": ("Contents", "Contents"), "ListObjectVersions": ("Version", "Versions")}


def read_listings_quickly(client: S3Client) -> None:
    """Make the client's listings cheap. Of each object they tell key, time, ETag, size and version, and no more; doing it twice is once."""
    # Before boto3's own handlers, under their name: one of them parses every answer to find errors that came as a success.
    client.meta.events.register_first("before-parse.s3.*", _before_parse, unique_id="salesmart-before-parse")


def _before_parse(operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    if operation_model.name not in _OBJECTS or response_dict["status_code"] != 200:
        return
    try:
        page = ElementTree.fromstring(response_dict["body"])  # noqa: S314 (expat of today's Pythons bounds what entities grow to)
    except ElementTree.ParseError:
        return  # boto3 says what is wrong with it
    tag, name = _OBJECTS[operation_model.name]
    namespace = page.tag.rpartition("}")[0]
    full = f"{namespace}}}{tag}" if namespace else tag
    items = page.findall(full)
    if not items or page.tag.rpartition("}")[2] == "Error":
        return
    customized_response_dict[name] = [_object({field.tag.rpartition("}")[2]: field.text or "" for field in item}) for item in items]
    for item in items:
        page.remove(item)
    response_dict["body"] = ElementTree.tostring(page)


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
            return datetime.fromisoformat(text[:-1]).replace(tzinfo=timezone.utc)
        except ValueError:
            pass  # written in a way that Python 3.10 does not read
    return parse_timestamp(text)
