"""The two documents that a store answers with: a listing, and an error."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError, fromstring

from pipeline.store.base import Entry, OutcomeUnknown


def parse_listing(body: bytes) -> tuple[tuple[Entry, ...], bool]:
    """Entries of a ListObjectsV2 reply, and whether more follow. Raises OutcomeUnknown."""
    try:
        root = fromstring(body)
        if _name(root) != "ListBucketResult":
            raise ValueError(f"no ListBucketResult, but {_name(root)}")
        listing = _fields(root)
        encoded = listing.get("EncodingType") == "url"
        entries = tuple(_entry(_fields(each), encoded) for each in root if _name(each) == CONTENTS)
        return entries, listing["IsTruncated"] == "true"
    except (ParseError, LookupError, ValueError) as error:
        raise OutcomeUnknown(f"the listing cannot be read: {error!r}") from error


CONTENTS = "Contents"


def _entry(fields: Mapping[str, str], encoded: bool) -> Entry:
    key = fields["Key"]
    return Entry(
        unquote_plus(key) if encoded else key,
        fields["ETag"].strip('"'),
        int(fields["Size"]),
        datetime.fromisoformat(fields["LastModified"]),
    )


def error_fields(body: bytes) -> Mapping[str, str]:
    """Code, Message and what else an error document says; nothing of any other body."""
    try:
        root = fromstring(body)
    except ParseError:
        return {}
    return _fields(root) if _name(root) == "Error" else {}


def _fields(element: Element) -> dict[str, str]:
    return {_name(child): child.text or "" for child in element}


def _name(element: Element) -> str:
    """Without its namespace, which not every store gives."""
    return element.tag.rpartition("}")[2]
