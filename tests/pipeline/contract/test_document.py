import gzip
import json
from datetime import UTC, datetime

import pytest

from config.errors import ManifestNotJson, ManifestTooLarge
from pipeline.contract.document import read_document
from pipeline.contract.keys import MAX_BYTES
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.summary import subject
from tests.support.manifests import manifest

TEXT = json.dumps(manifest(tenant="acme"))


def test_a_byte_order_mark_is_passed_over_wherever_the_body_is_read() -> None:
    body = TEXT.encode("utf-8-sig")

    assert read_document(body) == json.loads(TEXT)
    assert parse_manifest(body) == parse_manifest(TEXT.encode())
    assert subject("a", "inbox/a.json", datetime.now(UTC), body).tenant == "acme"


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (TEXT.encode("utf-16"), "UTF-16"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        (TEXT.encode("utf-16-be"), "UTF-16"),
        (TEXT.encode("utf-32-be"), "UTF-32"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (TEXT.encode("utf-32-le"), "UTF-32"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        (gzip.compress(TEXT.encode(), mtime=0), "gzip"),
        (b"PK\x03\x04", "zip"),
    ],
)
def test_other_forms_are_called_by_their_names(body: bytes, form: str) -> None:
    with pytest.raises(ManifestNotJson, match=form) as caught:
        read_document(body)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"null", "is null"),
        (b'"{}"', "is a text"),
        (b"[{}]", "is a list"),
        (b"true", "is true or false"),
        (b"1", "is a number"),
    ],
)
def test_what_is_no_object_is_called_by_its_name(body: bytes, said: str) -> None:
    with pytest.raises(ManifestNotJson, match=f"^the manifest {said}"):
        read_document(body)


def test_more_members_than_a_manifest_has_bytes_are_refused_whatever_room_pictures_have() -> None:
    many = b'{"a": [' + b"1," * MAX_BYTES + b"1]}"
    picture = b'{"a": "' + b"A" * 2 * MAX_BYTES + b'"}'

    with pytest.raises(ManifestTooLarge, match="too many members"):
        read_document(many, max_bytes=len(many))
    assert len(read_document(picture, max_bytes=len(picture))["a"]) == 2 * MAX_BYTES
