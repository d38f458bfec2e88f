from datetime import timedelta

import pytest

from config.errors import InvalidField, LoraNotFound, LoraUnreadable
from handlers.loras.refs import ById, ByName, LoraRef
from pipeline.loras.resolve import resolve
from pipeline.store.base import Always
from tests.pipeline.loras.support import Bucket


def key_of(bucket: Bucket, ref: LoraRef, prefix: str = "loras/") -> str:
    return resolve(bucket.store, ref, prefix).key


def test_an_id_is_looked_for_in_the_stated_order() -> None:
    bucket = Bucket()
    bucket.upload("loras/flux-character-ann/j1.safetensors")
    assert key_of(bucket, ById("ann")) == "loras/flux-character-ann/j1.safetensors"
    bucket.upload("loras/flux-character-ann.safetensors")
    assert key_of(bucket, ById("ann")) == "loras/flux-character-ann.safetensors"
    bucket.upload("loras/character-ann.safetensors")
    assert key_of(bucket, ById("ann")) == "loras/character-ann.safetensors"


def test_of_the_trainers_files_the_newest_is_used() -> None:
    bucket = Bucket()
    for job in ("b", "c", "a"):
        bucket.upload(f"loras/flux-character-ann/{job}.safetensors")
    bucket.upload("loras/flux-character-ann/z.json")
    bucket.upload("loras/flux-character-anna/new.safetensors")
    assert key_of(bucket, ById("ann")) == "loras/flux-character-ann/a.safetensors"


@pytest.mark.parametrize(
    ("names", "last"),
    [
        (("ann", "ann_000000500", "ann_000001500"), "ann"),
        (("ann_000000500", "ann_000001500"), "ann_000001500"),
        (("ann", "ann-000004", "ann-step00002000"), "ann"),
        (("ann-000004", "ann-000010"), "ann-000010"),
        (("a", "b"), "b"),
    ],
)
def test_of_a_folder_that_was_uploaded_at_once_the_trainings_last_file_is_used(
    names: tuple[str, ...], last: str
) -> None:
    bucket = Bucket()
    for name in names:
        bucket.raw.put(f"loras/flux-character-ann/{name}.safetensors", b"x", Always())

    assert key_of(bucket, ById("ann")) == f"loras/flux-character-ann/{last}.safetensors"


@pytest.mark.parametrize(
    ("names", "last"),
    [
        (("ann", "ann_000000500", "ann_000001500"), "ann"),
        (("ann_000001500", "ann_000000500"), "ann_000001500"),
        # Another training's file came last, or what its training saved on the way did.
        (("ann", "ann_000000500", "job-7"), "job-7"),
        (("job-7", "ann", "ann_000000500"), "ann"),
        (("ann", "job-7", "ann_000000500"), "ann"),
    ],
)
def test_whatever_the_order_of_an_upload_the_trainings_last_file_is_used(
    names: tuple[str, ...], last: str
) -> None:
    bucket = Bucket()
    for name in names:
        bucket.upload(f"loras/flux-character-ann/{name}.safetensors")

    assert key_of(bucket, ById("ann")) == f"loras/flux-character-ann/{last}.safetensors"


def test_a_later_training_under_the_same_name_is_not_hidden_by_the_earlier_ones_last_file() -> None:
    bucket = Bucket()
    for name, hours in (("ann", 0), ("ann_000000500", 2), ("ann_000000250", 0)):
        bucket.now += timedelta(hours=hours)
        bucket.upload(f"loras/flux-character-ann/{name}.safetensors")

    assert key_of(bucket, ById("ann")) == "loras/flux-character-ann/ann_000000500.safetensors"


def test_the_newest_is_found_among_more_files_than_a_page_has() -> None:
    bucket = Bucket()
    for n in range(1100):
        bucket.upload(f"loras/flux-character-ann/{(n * 7) % 1100:04}.safetensors")
    assert key_of(bucket, ById("ann")) == "loras/flux-character-ann/1093.safetensors"


def test_a_version_pins_one_of_the_trainers_files() -> None:
    bucket = Bucket()
    bucket.upload("loras/character-ann.safetensors")
    for job in ("job-1", "job-2"):
        bucket.upload(f"loras/flux-character-ann/{job}.safetensors")
    pinned = "loras/flux-character-ann/job-1.safetensors"
    assert key_of(bucket, ById("ann", "job-1")) == pinned
    assert key_of(bucket, ById("ann", "job-1.safetensors")) == pinned
    assert key_of(bucket, ByName("flux-character-ann", "job-1")) == pinned
    with pytest.raises(LoraNotFound, match=r"job-3\.safetensors"):
        resolve(bucket.store, ById("ann", "job-3"))


@pytest.mark.parametrize("name", ["film look v1.5", "film look v1.5.safetensors"])
def test_a_name_may_have_the_ending_or_not(name: str) -> None:
    bucket = Bucket()
    bucket.upload("loras/film look v1.5.safetensors")
    assert key_of(bucket, ByName(name)) == "loras/film look v1.5.safetensors"


def test_a_name_may_lie_in_a_folder_and_the_prefix_is_a_setting() -> None:
    bucket = Bucket()
    bucket.upload("weights/styles/ink.safetensors")
    found = key_of(bucket, ByName("styles/ink"), "weights/")
    assert found == "weights/styles/ink.safetensors"


def test_a_key_that_only_begins_alike_is_not_it() -> None:
    bucket = Bucket()
    bucket.upload("loras/character-ann.safetensors.bak")
    with pytest.raises(LoraNotFound):
        resolve(bucket.store, ById("ann"))


def test_what_is_missing_is_refused_with_the_places_and_the_nearest_name() -> None:
    bucket = Bucket()
    bucket.upload("loras/character-annette.safetensors")
    with pytest.raises(LoraNotFound) as caught:
        resolve(bucket.store, ById("anette"))
    assert caught.value.code == "lora_not_found"
    for place in (
        "loras/character-anette.safetensors",
        "loras/flux-character-anette.safetensors",
        "loras/flux-character-anette/",
    ):
        assert place in caught.value.message
    assert caught.value.hint == "Did you mean annette?"


@pytest.mark.parametrize(
    "ref",
    [
        ById(""),
        ById("../x"),
        ById("a/b"),
        ById(".."),
        ById("a\n"),
        ById("a" * 200),
        ById("ann", "../other"),
        ByName("/x"),
        ByName("a/../b"),
        ByName("a//b"),
        ByName("a/b/c/d/e"),
        ByName("a", "b/c"),
    ],
)
def test_what_cannot_be_in_a_key_is_refused(ref: LoraRef) -> None:
    with pytest.raises(InvalidField):
        resolve(Bucket().store, ref)


@pytest.mark.parametrize("name", ["x.ckpt", "x.pt", "x.bin"])
def test_a_pickle_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(LoraUnreadable, match="pickle"):
        resolve(Bucket().store, ByName(name))
