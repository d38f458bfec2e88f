import gzip
import json
from datetime import UTC, datetime

import pytest

from config.errors import ManifestNotJson
from pipeline.contract.document import read_document
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
        (TEXT.encode("utf-32"), "UTF-16|UTF-32"),
        (gzip.compress(TEXT.encode()), "gzip"),
        (b"PK\x03\x04", "zip"),
    ],
)
def test_other_forms_are_called_by_their_names(body: bytes, form: str) -> None:
    with pytest.raises(ManifestNotJson, match=form) as caught:
        read_document(body)

    assert caught.value.hint
