import hashlib
import json

import pytest

from config.errors import InvalidInput, LoraMismatch, LoraNotFound, LoraUnreadable
from config.models import load_models
from handlers.loras.family import Family
from handlers.loras.header import BytesRanges
from handlers.loras.refs import ById, ByName
from pipeline.loras import library
from pipeline.loras.bucket import Sidecar
from pipeline.loras.fetch import check_lora
from tests.handlers.loras.examples import SDXL
from tests.pipeline.loras.support import Bucket, flux_lora, z_image_lora
from tests.support.safetensors_files import safetensors

KNOWN = library.bases(load_models())
KEY, BESIDE = "loras/character-ann.safetensors", "loras/character-ann.json"


def sidecar(body: bytes, word: str = "ohwx") -> Sidecar:
    sha256 = hashlib.sha256(body).hexdigest()
    return Sidecar(trigger_word=word, family=Family.FLUX, sha256=sha256)


def fits(body: bytes, name: str | None = None) -> str:
    return library.fitting(library.read_lora(BytesRanges(body)), KNOWN, name)


def test_bases_are_those_of_kinds_that_take_a_lora() -> None:
    assert {name: base.family for name, base in KNOWN.items()} == {
        "flux-dev": Family.FLUX,
        "z-image-turbo": Family.Z_IMAGE,
    }


def test_a_lora_is_told_the_base_of_its_family() -> None:
    assert fits(flux_lora()) == "flux-dev"
    assert fits(z_image_lora()) == "z-image-turbo"


def test_one_that_nothing_takes_is_refused() -> None:
    with pytest.raises(LoraMismatch, match="for sdxl, and no kind takes such a one"):
        fits(safetensors(SDXL["kohya"].specs))
    with pytest.raises(LoraMismatch, match="for flux, the model is z-image"):
        fits(flux_lora(), "z-image-turbo")


@pytest.mark.parametrize(
    ("ref", "key"),
    [
        (ById("ann"), KEY),
        (ById("ann", "job-1"), "loras/flux-character-ann/job-1.safetensors"),
        (ByName("styles/film"), "loras/styles/film.safetensors"),
        (ByName("film.safetensors"), "loras/film.safetensors"),
    ],
)
def test_it_is_put_where_a_job_finds_it(ref: ById | ByName, key: str) -> None:
    assert library.place(ref, "loras/") == key
    bucket, body = Bucket(), flux_lora()
    bucket.upload("loras/flux-character-ann/older.safetensors", flux_lora(9))

    library.add(bucket.store, key, body, sidecar(body))

    found = check_lora(bucket.store, ref, KNOWN["flux-dev"])
    assert (found.found.key, found.sidecar) == (key, sidecar(body))


def test_nothing_is_overwritten_unasked() -> None:
    bucket, first, second = Bucket(), flux_lora(1), flux_lora(2)
    library.add(bucket.store, KEY, first, sidecar(first))

    with pytest.raises(InvalidInput, match=KEY) as caught:
        library.add(bucket.store, KEY, second, sidecar(second))
    with pytest.raises(InvalidInput, match=BESIDE):
        library.add(bucket.store, KEY, first, sidecar(first, "another word"))

    assert "--replace" in (caught.value.hint or "")
    assert content(bucket, KEY) == first
    assert json.loads(content(bucket, BESIDE))["trigger_word"] == "ohwx"


def test_the_same_again_is_no_error() -> None:
    bucket, body = Bucket(), flux_lora()
    for _ in range(2):
        library.add(bucket.store, KEY, body, sidecar(body))


def test_both_are_replaced_when_asked() -> None:
    bucket, first, second = Bucket(), flux_lora(1), flux_lora(2)
    library.add(bucket.store, KEY, first, sidecar(first))

    library.add(bucket.store, KEY, second, sidecar(second, "new"), replace=True)

    assert content(bucket, KEY) == second
    assert library.read(bucket.store, bucket.found(KEY)).sidecar == sidecar(second, "new")


def test_all_are_listed_with_what_lies_beside_them() -> None:
    bucket, body = Bucket(), flux_lora()
    library.add(bucket.store, KEY, body, sidecar(body))
    bucket.upload("loras/bare.safetensors", body)
    bucket.upload("loras/odd.safetensors", body)
    bucket.upload("loras/odd.json", b"[")
    bucket.upload("loras/readme.txt")

    bare, ann, odd = library.stored_loras(bucket.store, "loras/")

    assert (bare.found.key, bare.sidecar, bare.error) == ("loras/bare.safetensors", Sidecar(), None)
    assert (ann.found, ann.sidecar) == (bucket.found(KEY), sidecar(body))
    assert isinstance(odd.error, LoraUnreadable)


def test_what_is_removed_is_gone_with_its_sidecar() -> None:
    bucket, body = Bucket(), flux_lora()
    library.add(bucket.store, KEY, body, sidecar(body))
    bucket.upload("loras/other.safetensors")

    library.remove(bucket.store, KEY)

    assert [entry.key for entry in bucket.store.list("").entries] == ["loras/other.safetensors"]
    with pytest.raises(LoraNotFound):
        library.remove(bucket.store, KEY)


def content(bucket: Bucket, key: str) -> bytes:
    stored = bucket.store.get(key)
    assert stored is not None
    return stored.body
