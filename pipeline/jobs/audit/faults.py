"""What can be at fault in a bucket, in words."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.contract.keys import result_key
from pipeline.store.base import Entry


class FaultKind(StrEnum):
    LOST = "lost"
    """A manifest, and nobody who would run it."""
    LEASE_LAPSED = "lease_lapsed"
    """Past its life, and nobody takes it over."""
    LEASE_UNREADABLE = "lease_unreadable"
    """Bytes that are no lease, or are another job's."""
    LEASE_OF_NOTHING = "lease_of_nothing"
    """Past its life, of a job that has neither manifest nor entry."""
    LEASE_LEFT = "lease_left"
    """Of a job that has ended and owes nothing."""
    ENTRY_LEFT = "entry_left"
    """Of a job that has ended, and no dispatcher removes it."""
    ENTRY_STUCK = "entry_stuck"
    """Its name is no job's, and no dispatcher files it."""
    RESULT_UNREADABLE = "result_unreadable"
    """Or another job's."""
    MANIFEST_MISSING = "manifest_missing"
    """Of a job that has a result."""
    MANIFEST_DIFFERS = "manifest_differs"
    """From the one that its result was made of."""
    PLAN_MISSING = "plan_missing"
    """Of a character sheet that has records of its steps."""
    OUTPUT_MISSING = "output_missing"
    """That a result names."""
    OUTPUT_SIZE = "output_size"
    """Other than the result says."""
    OUTPUT_CONTENT = "output_content"
    """Of another sha256 than the result says; only where contents are read."""
    ERASURE_UNFINISHED = "erasure_unfinished"
    """A job that is to be forgotten, and whoever began it went no further."""
    ERASURE_LEFT = "erasure_left"
    """Of a job that is forgotten: something was written late."""
    EVENT_DIFFERS = "event_differs"
    """One uuid, two events: one of them is lost to analytics."""
    EVENT_TWICE = "event_twice"
    """One thing that happened under two uuids: counted twice."""
    EVENT_OF_NOTHING = "event_of_nothing"
    """Under outbox/, of an entry that does not stand under rejected/."""


@dataclass(frozen=True)
class Fault:
    kind: FaultKind
    key: str
    """Of the object at fault."""
    found: str
    """In words."""


def left_of_forgotten(id: str, key: str) -> Fault:
    found = f"its job is forgotten: `ryla forget --job {id}` deletes it"
    return Fault(FaultKind.ERASURE_LEFT, key, found)


def shared_uuid(uuid: str, id: str) -> Fault:
    found = f"{uuid} stands for an event of another job too"
    return Fault(FaultKind.EVENT_DIFFERS, result_key(id), found)


def entry_left(entry: Entry) -> Fault:
    return Fault(FaultKind.ENTRY_LEFT, entry.key, "its job has ended, and nobody removes it")


def entry_stuck(entry: Entry) -> Fault:
    found = "its name is no job's, and nobody files it under rejected/"
    return Fault(FaultKind.ENTRY_STUCK, entry.key, found)


def event_of_nothing(key: str, rejected: str) -> Fault:
    found = f"it tells of {rejected}, and nothing stands there"
    return Fault(FaultKind.EVENT_OF_NOTHING, key, found)


def no_lease(key: str) -> Fault:
    return Fault(FaultKind.LEASE_UNREADABLE, key, "what stands there is no lease of this job")
