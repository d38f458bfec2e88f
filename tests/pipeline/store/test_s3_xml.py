from datetime import UTC, datetime

import pytest

from pipeline.store.base import Entry, OutcomeUnknown
from pipeline.store.s3_xml import error_fields, parse_listing

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def contents(key: str, etag: str = "&quot;e&quot;") -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>2026-03-01T12:00:00.000Z</LastModified>"
        f"<ETag>{etag}</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass>"
        "<Owner><ID>o</ID><DisplayName>us</DisplayName></Owner></Contents>"
    )


def listing(inside: str, *, truncated: str = "false", namespace: str = NAMESPACE) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {namespace}><Name>b</Name>'
        f"<IsTruncated>{truncated}</IsTruncated>{inside}</ListBucketResult>"
    ).encode()


def keys(inside: str) -> list[str]:
    return [entry.key for entry in parse_listing(listing(inside))[0]]


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
def test_each_object_is_told_whole(namespace: str) -> None:
    body = listing(contents("inbox/a.json"), truncated="true", namespace=namespace)
    assert parse_listing(body) == ((Entry("inbox/a.json", "e", 7, NOON),), True)


@pytest.mark.parametrize("etag", ["&quot;e&quot;", "&#34;e&#34;", '"e"', "e"])
def test_etags_lose_their_quotes_however_they_are_written(etag: str) -> None:
    ((entry,), _) = parse_listing(listing(contents("a", etag)))
    assert entry.etag == "e"


def test_keys_keep_what_xml_must_escape_and_what_it_need_not() -> None:
    assert keys(contents("a&amp;b&lt;c&gt;&apos;&#x20AC;&#233;")) == ["a&b<c>'€é"]
    assert keys(contents("ü€😀 a+b%20c")) == ["ü€😀 a+b%20c"]


def test_keys_are_decoded_only_where_the_store_says_that_it_encoded_them() -> None:
    encoded = "<EncodingType>url</EncodingType>" + contents("Bad+Name%2Ba%26%C3%BC%2520%01.json")
    assert keys(encoded) == ["Bad Name+a&ü%20\x01.json"]
    assert keys(contents("a+b%2Bc")) == ["a+b%2Bc"]


def test_entries_keep_their_order_among_other_elements() -> None:
    inside = contents("b") + "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>" + contents("a")
    assert keys(inside) == ["b", "a"]


def test_an_empty_listing_is_a_listing() -> None:
    assert parse_listing(listing("")) == ((), False)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>welcome</html>", id="a page"),
        pytest.param(b"<Error><Code>SlowDown</Code></Error>", id="an error"),
        pytest.param(listing(contents("a"))[:-20], id="a half"),
        pytest.param(b"<ListBucketResult></ListBucketResult>", id="no word of an end"),
        pytest.param(listing("<Contents><Key>a</Key></Contents>"), id="an entry without its ETag"),
        pytest.param(listing(contents("a").replace("7", "x")), id="a size that is no number"),
        pytest.param(listing(contents("a").replace("2026", "the")), id="a time that is none"),
    ],
)
def test_what_is_no_listing_is_an_unclear_answer(body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        parse_listing(body)


def test_an_error_is_told_by_its_fields() -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>no &amp; never</Message></Error>"
    assert error_fields(body) == {"Code": "AccessDenied", "Message": "no & never"}


@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b"{}", listing("")])
def test_a_body_that_is_no_error_tells_nothing(body: bytes) -> None:
    assert error_fields(body) == {}
