import hashlib
import json
from pathlib import Path

import pytest

from config.errors import LoraMismatch, LoraNotFound, LoraUnreadable
from config.settings import Settings
from handlers.loras.refs import ById, ByName
from pipeline.loras.cache import LocalFolder, LoraCache
from pipeline.loras.fetch import check_lora, fetch_lora
from pipeline.store.base import Stored
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from pipeline.store.open import open_store
from tests.pipeline.loras.support import TINY, Bucket, tiny_lora

KEY = "loras/character-ann.safetensors"
ANN = ById("ann")


def cache(tmp_path: Path) -> LoraCache:
    return LoraCache(LocalFolder(tmp_path / "volume"), tmp_path / "spare")


def beside(bucket: Bucket, **sidecar: str) -> None:
    bucket.upload("loras/character-ann.json", json.dumps(sidecar).encode())


def test_a_lora_is_known_before_and_on_disk_after(tmp_path: Path) -> None:
    bucket, body = Bucket(), tiny_lora()
    bucket.upload(KEY, body)
    beside(bucket, trigger_word="ohwx", family="flux", sha256=hashlib.sha256(body).hexdigest())
    before = check_lora(bucket.store, ANN, TINY)
    assert (before.found.key, before.sidecar.trigger_word, before.lora.ranks) == (
        KEY,
        "ohwx",
        (2,),
    )
    after, kept = fetch_lora(bucket.store, cache(tmp_path), ANN, TINY)
    assert after.found == before.found
    assert kept.path.read_bytes() == body
    assert kept.downloaded
    assert not fetch_lora(bucket.store, cache(tmp_path), ANN, TINY)[1].downloaded


def test_a_replaced_lora_is_fresh(tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.upload(KEY, tiny_lora(1))
    fetch_lora(bucket.store, cache(tmp_path), ANN, TINY)
    bucket.upload(KEY, tiny_lora(2))
    assert fetch_lora(bucket.store, cache(tmp_path), ANN, TINY)[1].path.read_bytes() == tiny_lora(2)


def test_a_wrong_one_is_refused_before_and_on_the_worker(tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.upload(KEY, tiny_lora(hidden=64))
    with pytest.raises(LoraMismatch, match=r"\[2, 64\], wanted \[2, 128\]"):
        check_lora(bucket.store, ANN, TINY)
    with pytest.raises(LoraMismatch):
        fetch_lora(bucket.store, cache(tmp_path), ANN, TINY)


def test_an_error_says_of_the_file_what_was_known_by_then(tmp_path: Path) -> None:
    bucket, body = Bucket(), tiny_lora(hidden=64)
    with pytest.raises(LoraNotFound) as absent:
        check_lora(bucket.store, ANN, TINY)
    bucket.upload(KEY, body)
    with pytest.raises(LoraMismatch) as seen:
        check_lora(bucket.store, ANN, TINY)
    with pytest.raises(LoraMismatch) as pulled:
        fetch_lora(bucket.store, cache(tmp_path), ANN, TINY)

    facts = [
        (each.value.key, each.value.bytes, each.value.sha256) for each in (absent, seen, pulled)
    ]
    assert facts == [
        (None, None, None),
        (KEY, len(body), None),
        (KEY, len(body), hashlib.sha256(body).hexdigest()),
    ]
    assert all((each.value.seconds or -1) > 0 for each in (absent, seen, pulled))


def test_an_empty_object_is_refused() -> None:
    bucket = Bucket()
    bucket.upload(KEY, b"")
    with pytest.raises(LoraUnreadable, match="empty"):
        check_lora(bucket.store, ANN, TINY)


def test_a_sidecar_of_another_family_is_refused() -> None:
    bucket = Bucket()
    bucket.upload(KEY, tiny_lora())
    beside(bucket, family="sdxl")
    with pytest.raises(LoraMismatch, match="says sdxl, the model is flux"):
        check_lora(bucket.store, ANN, TINY)


def test_a_sidecar_with_another_sha256_is_refused(tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.upload(KEY, tiny_lora())
    beside(bucket, sha256="0" * 64)
    with pytest.raises(LoraUnreadable, match="the file beside it says 000"):
        fetch_lora(bucket.store, cache(tmp_path), ANN, TINY)


class ReplacedOnRead(MemoryStore):
    """Somebody else uploads between the list and the read, `times` times."""

    def __init__(self, bucket: Bucket, times: int) -> None:
        super().__init__(lambda: bucket.now)
        self._bucket, self._times = bucket, times

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        if self._times and key == KEY:
            self._times -= 1
            self._bucket.upload(KEY, tiny_lora(100 + self._times))
        return super().get(key, offset=offset, limit=limit)


def racing(times: int) -> SafeStore:
    bucket = Bucket()
    bucket.raw = ReplacedOnRead(bucket, times)
    bucket.upload(KEY, tiny_lora())
    return SafeStore(bucket.raw)


def test_a_lora_replaced_in_between_is_read_again(tmp_path: Path) -> None:
    assert check_lora(racing(2), ANN, TINY).lora.ranks == (2,)
    _, kept = fetch_lora(racing(2), cache(tmp_path), ANN, TINY)
    assert kept.path.read_bytes() == tiny_lora(100)


def test_a_lora_that_is_replaced_forever_is_given_up() -> None:
    with pytest.raises(LoraUnreadable, match="replaced 3 times"):
        check_lora(racing(99), ANN, TINY)


def test_it_holds_on_a_real_store(bucket: Settings, tmp_path: Path) -> None:
    store = open_store(bucket)
    body = tiny_lora()
    store.write("loras/flux-character-ann/job-1.safetensors", body, "application/octet-stream")
    store.write("loras/empty.safetensors", b"", "application/octet-stream")
    checked, kept = fetch_lora(store, cache(tmp_path), ANN, TINY)
    assert checked == check_lora(store, ANN, TINY)
    assert checked.found.key == "loras/flux-character-ann/job-1.safetensors"
    assert kept.path.read_bytes() == body
    with pytest.raises(LoraUnreadable, match="empty"):
        check_lora(store, ByName("empty"), TINY)


def test_a_lora_of_other_tenants_is_as_one_that_is_not_there(tmp_path: Path) -> None:
    bucket = Bucket()
    with pytest.raises(LoraNotFound) as absent:
        check_lora(bucket.store, ANN, TINY, tenant="zenith")
    bucket.upload(KEY, tiny_lora())
    bucket.upload("loras/character-ann.json", b'{"tenants": ["acme"]}')
    with pytest.raises(LoraNotFound) as others:
        check_lora(bucket.store, ANN, TINY, tenant="zenith")
    with pytest.raises(LoraNotFound):
        fetch_lora(bucket.store, cache(tmp_path), ANN, TINY, tenant="zenith")

    told = [(each.value.message, each.value.hint, each.value.key) for each in (absent, others)]
    assert told[0] == told[1]
    for tenant in ("acme", None):
        assert check_lora(bucket.store, ANN, TINY, tenant=tenant).found.key == KEY


def test_a_tenant_is_told_no_names_of_others(tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.upload(KEY, tiny_lora())
    with pytest.raises(LoraNotFound) as asked:
        check_lora(bucket.store, ById("anne"), TINY, tenant="zenith")
    with pytest.raises(LoraNotFound) as operator:
        check_lora(bucket.store, ById("anne"), TINY)

    assert "Did you mean" not in str(asked.value.hint)
    assert operator.value.hint == "Did you mean ann?"
