"""Jobs whose ids are derived from another job's: asked for twice, they are one job."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from config.errors import IdConflict
from pipeline.contract.document import canonical
from pipeline.contract.keys import manifest_key
from pipeline.jobs.manifest_files import Source
from pipeline.jobs.status import bare_key
from pipeline.jobs.submit import Options, Prepared, Receipt, prepare, submit
from pipeline.store.conditional import SafeStore

MOST = 1000
"""Successors of one job, of one sort."""
LONGEST = 90
"""Characters of the first part of an id: of 96, the rest is the number's."""


def submit_successor(
    store: SafeStore, root: str, letter: str, document: Mapping[str, Any], first: int = 1
) -> Receipt:
    """Send a manifest as `<root>-<letter><n>`, under the first n that is free, or that has this
    manifest already: then nothing is written.

    Raises a BadManifest or InvalidInput for the manifest, IdConflict where no n is left,
    StoreUnavailable, StoreDenied.
    """
    for job in _candidates(root, letter, document, first):
        try:
            return submit(store, job)
        except IdConflict:
            continue
    raise _none_left(root, letter)


def find_successor(
    store: SafeStore, root: str, letter: str, document: Mapping[str, Any], first: int = 1
) -> tuple[Prepared, bool]:
    """The job that `submit_successor` would send, and whether it is there already."""
    for job in _candidates(root, letter, document, first):
        found = next(filter(None, map(store.get, (manifest_key(job.id), job.key))), None)
        if found is None or found.body == job.body:
            return job, found is not None
    raise _none_left(root, letter)


def _candidates(
    root: str, letter: str, document: Mapping[str, Any], first: int
) -> Iterator[Prepared]:
    body = canonical(document)
    for number in range(first, first + MOST):
        id = f"{root[:LONGEST]}-{letter}{number}"
        yield prepare(Source(bare_key(id), Path(), body, file_id=id), Options())


def _none_left(root: str, letter: str) -> IdConflict:
    return IdConflict(f"{root} has {MOST} successors", field="id", value=f"{root}-{letter}")
