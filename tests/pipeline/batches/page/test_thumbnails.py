import hashlib

import pytest
from PIL import Image

from config.errors import InvalidInput, StoreDenied
from handlers.media.thumbnails import is_thumbnail, thumbnail
from pipeline.batches.page.cards import Picture
from pipeline.batches.page.thumbnails import Thumbnail, shrinker, thumbnail_of
from pipeline.contract.keys import THUMBS, thumb_key
from pipeline.store.base import Condition, Written
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.batch_pages import no_picture
from tests.support.pictures import encoded, plain_webp

BODY = encoded(Image.new("RGB", (300, 200), "red"))
SHA256 = hashlib.sha256(BODY).hexdigest()
KEY = "jobs/x/out/a1/01-front.png"
PICTURE = Picture(KEY, SHA256)


@pytest.fixture
def store() -> SafeStore:
    store = SafeStore(MemoryStore())
    store.create(KEY, BODY, "image/png")
    return store


def test_one_is_made_once_and_then_read_without_its_picture(store: SafeStore) -> None:
    first = thumbnail_of(store, PICTURE, thumbnail)
    assert first.fresh
    assert first.body is not None
    kept = store.get(thumb_key(SHA256))
    assert kept is not None
    assert kept.body == first.body
    store.delete(KEY)
    assert thumbnail_of(store, PICTURE, no_picture) == Thumbnail(first.body)


def test_what_is_no_thumbnail_is_made_anew_and_left_where_it_is(store: SafeStore) -> None:
    hostile = plain_webp(4000, 4000)
    store.create(thumb_key(SHA256), hostile)
    made = thumbnail_of(store, PICTURE, thumbnail)
    assert made.body is not None
    assert is_thumbnail(made.body)
    kept = store.get(thumb_key(SHA256))
    assert kept is not None
    assert kept.body == hostile


def test_a_picture_that_is_gone_was_overwritten_or_cannot_be_read_has_none(
    store: SafeStore,
) -> None:
    def problem(picture: Picture) -> str | None:
        return thumbnail_of(store, picture, thumbnail).problem

    assert problem(Picture("jobs/x/out/gone.png", "a" * 64)) == "gone from the bucket"
    assert problem(Picture(KEY, "a" * 64)) == "other bytes than were recorded"
    page = b"<script>"
    store.create("jobs/x/out/page.png", page)
    sha256 = hashlib.sha256(page).hexdigest()
    assert problem(Picture("jobs/x/out/page.png", sha256)) == "no picture that can be read"
    assert not store.list(THUMBS).entries


def test_whoever_may_only_read_has_a_page_too() -> None:
    class ReadOnly(MemoryStore):
        def put(
            self, key: str, body: bytes, condition: Condition, content_type: str = ""
        ) -> Written:
            if key.startswith(THUMBS):
                raise StoreDenied("PutObject: AccessDenied")
            return super().put(key, body, condition, content_type)

    store = SafeStore(ReadOnly())
    store.create(KEY, BODY, "image/png")
    assert thumbnail_of(store, PICTURE, thumbnail).fresh


def test_pictures_are_decoded_in_child_processes() -> None:
    with shrinker() as shrink:
        assert shrink(BODY) == thumbnail(BODY)
        with pytest.raises(InvalidInput):
            shrink(b"<svg/>")
