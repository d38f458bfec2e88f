"""Pages of made-up batches."""

import hashlib
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from handlers.character_sheet.sheet_document import Coverage, SetVerdict
from handlers.media.thumbnails import thumbnail
from pipeline.batches.batch import Batch
from pipeline.batches.page.html import render_page
from pipeline.batches.page.links import Link
from pipeline.batches.page.reader import BatchPage, read_page
from pipeline.contract.keys import thumb_key
from pipeline.contract.result import MissingView, Output, OutputFace, OutputView
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.batches import FACE, a_batch, end_sheet
from tests.support.pictures import encoded

VIEWS = (
    *("front", "front-close-up", "three-quarter-left", "three-quarter-right", "side-left"),
    *("side-right", "looking-up", "looking-down", "half", "back"),
)


@cache
def small_pictures(count: int = 24) -> tuple[bytes, ...]:
    """Thumbnails with about as many bytes as one may have."""
    made = []
    for seed in range(count):
        chance = random.Random(seed)
        grain = Image.frombytes("RGB", (150, 150), chance.randbytes(150 * 150 * 3))
        picture = grain.filter(ImageFilter.GaussianBlur(0.8)).resize((256, 256))
        colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
        ImageDraw.Draw(picture).ellipse((60, 40, 196, 216), fill=colour)
        made.append(thumbnail(encoded(picture))[1])
    return tuple(made)


def set_verdict(worst: float | None, *, trainable: bool, because: str, made: int) -> SetVerdict:
    return SetVerdict(
        views=10,
        made=made,
        compared=made,
        worst_match=worst,
        mean_match=None if worst is None else min(1.0, worst + 0.05),
        coverage=Coverage(angles={}, framings={}),
        trainable=trainable,
        because=because,
        wanting=() if trainable else ("add 4 close-up",),
    )


def keep_thumbnail(store: SafeStore, name: str) -> str:
    """A picture's sha256 whose thumbnail stands in the bucket already."""
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    pictures = small_pictures()
    body = pictures[int(sha256[:6], 16) % len(pictures)]
    store.create(thumb_key(sha256), body, "image/webp")
    return sha256


def made_view(store: SafeStore, job: str, number: int, id: str, match: float | None) -> Output:
    score = None if match is None else match
    return Output(
        key=f"jobs/{job}/out/a1/{number:02}-{id}.png",
        bytes=1,
        sha256=keep_thumbnail(store, f"{job}/{number}"),
        width=1024,
        height=1024,
        content_type="image/png",
        seed=number,
        face=None
        if score is None
        else OutputFace(
            similarity=score, match=score, embedder="test", faces_found=1, box=FACE, seed=1
        ),
        face_reason="back" if score is None else None,
        view=OutputView(number=number, id=id, ok=True, tries=1 + number % 3, usd=0.004),
    )


def fill_batch(store: SafeStore, batch: Batch, views: Sequence[str] = VIEWS) -> None:
    """All sheets have ended. Each seventh one lacks a view, each fifth cannot be trained on."""
    for at, row in enumerate(batch.rows):
        chance = random.Random(row.id)
        outputs, missing = [], []
        for number, id in enumerate(views, start=1):
            if at % 7 == 3 and number == 4:
                missing.append(MissingView(number=number, id=id, reason="no_face", tries=3))
                continue
            match = None if id == "back" else round(chance.uniform(0.6, 0.99), 4)
            outputs.append(made_view(store, row.id, number, id, match))
        matches = [each.face.match for each in outputs if each.face and each.face.match]
        good = at % 5 != 1
        end_sheet(
            store,
            row.id,
            usd=0.03 + at / 1000,
            outputs=tuple(outputs),
            missing=tuple(missing),
            partial=bool(missing),
            sheet=set_verdict(
                min(matches, default=None),
                trainable=good,
                because="all views are there" if good else "only 9 faces can be compared",
                made=len(outputs),
            ),
        )


def no_picture(body: bytes) -> tuple[str, bytes]:
    """An intake for pages whose thumbnails all stand in the bucket."""
    raise AssertionError(f"{len(body)} bytes were to be decoded")


def made_up_page(store: SafeStore, batch: Batch) -> BatchPage:
    return read_page(store, batch, no_picture)


def large_batch(sheets: int = 200) -> tuple[SafeStore, Batch]:
    store = SafeStore(MemoryStore())
    batch = a_batch(*(f"Person {number:03}" for number in range(1, sheets + 1)), budget_usd=20.0)
    fill_batch(store, batch)
    return store, batch


def write_page(page: BatchPage, path: Path, link: Link = lambda key: None) -> Path:
    path.write_text(render_page(page, link), "utf-8")
    return path
