"""A listing of jobs/, job by job."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from pipeline.contract.keys import JOBS
from pipeline.jobs.audit.rules import JobFolder
from pipeline.store.base import Entry


def folders(entries: Iterable[Entry]) -> Iterator[JobFolder]:
    """What lies under jobs/, job by job, in the store's order.

    S3 lists in byte order, SeaweedFS directory by directory: `a-b/` stands before `a/` in the one
    and after it in the other. What begins alike stands together in both, and nothing more is
    taken for granted here. An object that is in no folder makes one without an id.
    """
    for id, those in groupby(entries, lambda entry: _folder_id(entry.key)):
        sizes, newest = dict[str, int](), None
        for entry in those:
            sizes[entry.key] = entry.size
            newest = max(newest or entry.last_modified, entry.last_modified)
        assert newest is not None
        yield JobFolder(id, sizes, newest)


def _folder_id(key: str) -> str:
    id, slash, _ = key.removeprefix(JOBS).partition("/")
    return id if slash else ""
