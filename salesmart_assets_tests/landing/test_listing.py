"""What is taken from a listing's XML is what boto3 itself would have read, and boto3 is left with the short rest."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from salesmart_assets.landing.listing import read_listings_quickly
from salesmart_assets_tests.landing.conftest import client_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
HEAD = "<?xml version='1.0' encoding='UTF-8'?>"
OWNER = "<Owner><ID>Key</ID><Key>not the key</Key></Owner>"
KEYS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1, max_size=12)


class _Body(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.getvalue()


def _client(answer: list[str]) -> S3Client:
    """A client that gets the one answer in the list to whatever it asks."""
    client = client_of("http://127.0.0.1:9")

    def send(request: Any, **_: object) -> AWSResponse:
        return AWSResponse(request.url, 200, {"content-type": "application/xml"}, _Body(answer[0].encode()))  # type: ignore[arg-type]

    client.meta.events.register("before-send.s3.*", send)  # type: ignore[arg-type]  # the stubs know no handler that answers
    return client


ANSWER = [""]
PLAIN, QUICK = _client(ANSWER), _client(ANSWER)
read_listings_quickly(QUICK)


def _both(ask: Callable[[S3Client], Any], name: str, answer: str) -> list[dict[str, Any]]:
    """The objects in an answer, after plain boto3 and the quick reading agreed on them and on all else."""
    ANSWER[0] = answer
    plain, quick = dict(ask(PLAIN)), dict(ask(QUICK))
    told = ("Key", "LastModified", "ETag", "Size", "VersionId", "IsLatest")
    expected = [{k: v for k, v in item.items() if k in told} for item in plain.pop(name)]
    found: list[dict[str, Any]] = quick.pop(name)
    assert found == expected
    assert quick == plain
    return found


def _objects(client: S3Client) -> Any:
    return client.list_objects_v2(Bucket="shop")


def _versions(client: S3Client) -> Any:
    return client.list_object_versions(Bucket="shop")


def _item(tag: str, key: str, more: str = "") -> str:
    return (
        f"<{tag}>{more}<Key>{escape(key)}</Key><LastModified>2024-01-31T08:00:01.250Z</LastModified>"
        f"<ETag>&quot;e1&#34;</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass></{tag}>"
    )


@given(st.lists(KEYS, min_size=1, max_size=5))
def test_any_key_is_read_as_boto3_reads_it(keys: list[str]) -> None:
    """Every key that XML can hold comes out as boto3 reads it, in order, and none is lost."""
    items = "".join(_item("Contents", key, OWNER) for key in keys)
    answer = f"{HEAD}<ListBucketResult {SPACE}><KeyCount>{len(keys)}</KeyCount>{items}</ListBucketResult>"
    assert [o["Key"] for o in _both(_objects, "Contents", answer)] == keys


@pytest.mark.parametrize(
    "shape",
    [
        "<ListBucketResult>{items}<IsTruncated>true</IsTruncated><NextContinuationToken>a&gt;b</NextContinuationToken></ListBucketResult>",
        "{head}<ListBucketResult {space}>\n  <IsTruncated>false</IsTruncated>\n  {items}\n</ListBucketResult>\n",
        "<ListBucketResult {space}><EncodingType>url</EncodingType>{items}<Contents>{nested}</Contents></ListBucketResult>",
        "<ListBucketResult {space}>{items}<!-- <Contents> --><CommonPrefixes><Prefix>x</Prefix></CommonPrefixes>{items}</ListBucketResult>",
    ],
)
def test_stores_write_xml_in_many_ways(shape: str) -> None:
    """White space, comments, other fields before, between and after the objects, and no namespace change nothing."""
    nested = f"<Key><![CDATA[a<b>&]]>c%2Fd</Key>{OWNER}<LastModified>2024-01-31T08:00:01+00:00</LastModified><ETag>e</ETag><Size>0</Size>"
    items = _item("Contents", "a/%20b+c.csv") + "\n" + _item("Contents", "é.csv", OWNER)
    answer = shape.format(head=HEAD, space=SPACE, items=items, nested=nested)
    assert len(_both(_objects, "Contents", answer)) == answer.replace("<!-- <Contents>", "").count("<Contents>")


def test_versions_and_deletions_stay_apart() -> None:
    """Versions come with their id and whether they are the latest; deletions among them are left to boto3."""
    marker = "<DeleteMarker><Key>a</Key><VersionId>2</VersionId><IsLatest>true</IsLatest></DeleteMarker>"
    items = [_item("Version", "a", f"<VersionId>{i}</VersionId><IsLatest>{word}</IsLatest>") for i, word in ((1, "true"), (3, "false"))]
    found = _both(_versions, "Versions", f"<ListVersionsResult {SPACE}>{items[0]}{marker}{items[1]}</ListVersionsResult>")
    assert [(v["VersionId"], v["IsLatest"]) for v in found] == [("1", True), ("3", False)]


@pytest.mark.parametrize(
    "answer",
    [
        f"<ListBucketResult {SPACE}>{_item('Contents', 'a')}{_item('Contents', 'b')[:-20]}",
        f"<ListBucketResult {SPACE}>{_item('Contents', 'a')}",
        "<Error><Code>InternalError</Code><Message>We stumbled.</Message></Error>",
    ],
)
def test_answer_that_broke_off_or_is_an_error_is_no_listing(answer: str) -> None:
    """A listing that was cut, or an error that came as a success, is a fault, however many objects it began with."""
    ANSWER[0] = answer
    with pytest.raises(ClientError) as caught:
        _objects(QUICK)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


@pytest.mark.parametrize(("ask", "tag", "root"), [(_objects, "Contents", "ListBucketResult"), (_versions, "Version", "ListVersionsResult")])
def test_no_tree_of_a_page_is_built(ask: Callable[[S3Client], Any], tag: str, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No handler of boto3's reads the objects again, to look for errors or else: that was most of a tick's time."""
    fed: list[bytes] = []

    class Parser(ElementTree.XMLParser):
        def feed(self, data: Any, /) -> None:
            fed.append(data)
            super().feed(data)

    monkeypatch.setattr(ElementTree, "XMLParser", Parser)
    ANSWER[0] = f"<{root} {SPACE}>{_item(tag, 'a', '<VersionId>1</VersionId><IsLatest>true</IsLatest>') * 100}</{root}>"
    ask(QUICK)
    assert fed
    assert max(map(len, fed)) < 200
