import json

import pytest

from config.errors import LoraUnreadable
from handlers.loras.family import Family
from handlers.loras.fit import check
from pipeline.loras.bucket import BucketRanges, Replaced, Sidecar, download, every, read_sidecar
from tests.pipeline.loras.support import TINY, Bucket, tiny_lora

KEY = "loras/character-ann.safetensors"


def with_sidecar(body: bytes) -> Bucket:
    bucket = Bucket()
    bucket.upload(KEY)
    bucket.upload("loras/character-ann.json", body)
    return bucket


def test_only_safetensors_count_as_loras() -> None:
    bucket = with_sidecar(b"{}")
    bucket.upload("loras/readme.txt")
    bucket.upload("loras/sub/deep.safetensors")
    assert [each.key for each in every(bucket.store, "loras/")] == [
        KEY,
        "loras/sub/deep.safetensors",
    ]


def test_a_sidecar_says_trigger_word_family_sha256_and_character() -> None:
    body = {
        "trigger_word": " ohwx woman ",
        "family": "flux",
        "sha256": "0" * 64,
        "character": "Ann",
        "training_steps": 500,
    }
    bucket = with_sidecar(json.dumps(body).encode())
    assert read_sidecar(bucket.store, bucket.found(KEY)) == Sidecar(
        trigger_word="ohwx woman", family=Family.FLUX, sha256="0" * 64, character="Ann"
    )


def test_no_sidecar_is_an_empty_one() -> None:
    bucket = Bucket()
    bucket.upload(KEY)
    bucket.upload("loras/character-ann.json.bak", b"no")
    assert read_sidecar(bucket.store, bucket.found(KEY)) == Sidecar()


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"family": "fluks"}', b'{"sha256": "abc"}', b'{"trigger_word": 3}'],
)
def test_a_sidecar_that_cannot_be_trusted_is_refused_by_its_key(body: bytes) -> None:
    bucket = with_sidecar(body)
    with pytest.raises(LoraUnreadable, match=r"loras/character-ann\.json is no description"):
        read_sidecar(bucket.store, bucket.found(KEY))


def test_a_huge_sidecar_is_refused() -> None:
    bucket = with_sidecar(b"{" + b" " * 100_000 + b"}")
    with pytest.raises(LoraUnreadable, match="limit"):
        read_sidecar(bucket.store, bucket.found(KEY))


def test_a_header_is_checked_where_it_lies() -> None:
    bucket = Bucket()
    bucket.upload(KEY, tiny_lora())
    assert check(BucketRanges(bucket.store, bucket.found(KEY)), TINY).ranks == (2,)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 25])
def test_a_download_is_the_file_in_pieces(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("pipeline.loras.bucket.CHUNK", 10)
    bucket = Bucket()
    bucket.upload(KEY, bytes(range(size)))

    pieces = list(download(bucket.store, bucket.found(KEY)))

    assert b"".join(pieces) == bytes(range(size))
    assert all(1 <= len(each) <= 10 for each in pieces)


def test_a_file_replaced_during_its_download_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.loras.bucket.CHUNK", 10)
    bucket = Bucket()
    bucket.upload(KEY, b"a" * 25)
    pieces = download(bucket.store, bucket.found(KEY))
    assert next(pieces) == b"a" * 10

    bucket.upload(KEY, b"b" * 25)

    with pytest.raises(Replaced):
        next(pieces)


def test_reads_of_a_replaced_object_are_told() -> None:
    bucket = Bucket()
    bucket.upload(KEY, tiny_lora(1))
    old = bucket.found(KEY)
    bucket.upload(KEY, tiny_lora(2))
    with pytest.raises(Replaced):
        BucketRanges(bucket.store, old).read_range(0, 8)
    with pytest.raises(Replaced):
        list(download(bucket.store, old))
    bucket.store.delete(KEY)
    with pytest.raises(Replaced):
        BucketRanges(bucket.store, old).read_range(0, 8)
