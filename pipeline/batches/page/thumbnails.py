"""Thumbnails of a page: each is made once, and kept in the bucket for the next page.

    thumbs/<sha256 of the picture>.webp

A picture is a stranger's bytes as much as one that somebody sent: it is decoded in a child process.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue

from config.errors import InvalidInput, StoreDenied
from handlers.media.intake_process import Intake, IntakeProcess, Task
from handlers.media.submitted import MAX_INTAKE_BYTES
from handlers.media.thumbnails import MAX_BYTES, is_thumbnail
from pipeline.batches.page.cards import Picture
from pipeline.contract.keys import thumb_key
from pipeline.store.conditional import SafeStore

MOST_PROCESSES = 4
CONTENT_TYPE = "image/webp"


@dataclass(frozen=True)
class Thumbnail:
    body: bytes | None
    """WebP; None where there is none to have."""
    problem: str | None = None
    """Why."""
    fresh: bool = False
    """Whether it had to be made."""


@contextmanager
def shrinker() -> Iterator[Intake]:
    """Makes thumbnails from several threads at once, in a process for each processor."""
    with ExitStack() as stack:
        idle: SimpleQueue[IntakeProcess] = SimpleQueue()
        for _ in range(min(MOST_PROCESSES, os.cpu_count() or 1)):
            idle.put(stack.enter_context(closing(IntakeProcess(task=Task.THUMBNAIL))))

        def shrink(body: bytes) -> tuple[str, bytes]:
            process = idle.get()
            try:
                return process.intake(body)
            finally:
                idle.put(process)

        yield shrink


def thumbnail_of(store: SafeStore, picture: Picture, shrink: Intake) -> Thumbnail:
    """That of the bucket, else one that is made and kept there. Raises StoreUnavailable."""
    kept = store.get(thumb_key(picture.sha256), limit=MAX_BYTES + 1)
    if kept is not None and is_thumbnail(kept.body):
        return Thumbnail(kept.body)
    stored = store.get(picture.key, limit=MAX_INTAKE_BYTES + 1)
    if stored is None:
        return Thumbnail(None, "gone from the bucket")
    if hashlib.sha256(stored.body).hexdigest() != picture.sha256:
        return Thumbnail(None, "other bytes than were recorded")
    try:
        _, body = shrink(stored.body)
    except InvalidInput:
        return Thumbnail(None, "no picture that can be read")
    with suppress(StoreDenied):  # whoever may only read makes a page too
        store.create(thumb_key(picture.sha256), body, CONTENT_TYPE)
    return Thumbnail(body, fresh=True)
