"""States hold small numbers; here is what they stand for."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.contract.lease import Lease
from pipeline.contract.result import Result, Status
from pipeline.queue.protocol import (
    CreateLease,
    CreateManifest,
    CreateResult,
    DropInbox,
    DropLease,
    ReadInbox,
    ReadManifest,
    ReadResult,
    ReplaceLease,
)
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.base import Stored
from tests.support.exploration.procedures import (
    NOW,
    CreateCell,
    Executing,
    ReadCell,
    ReadLease,
    ReadStops,
)
from tests.support.exploration.scenario import (
    CELLS,
    INBOX,
    INBOX_2,
    KEYS,
    LEASE,
    MANIFEST,
    RESULT,
    STOPPED,
)

# Effects of an outcome beyond the object that its call touches.
NOTHING, TAKE, SPAWN, START, WIN, DELIVER, DROP_LEASE, DROP_ENTRY, FILE, FLOAT = range(10)

# How far a conditional write is: not sent, sent before without effect, answered unclearly.
FIRST, AGAIN, UNCLEAR = range(3)

NO_OBJECT, LISTING = -1, -2
"""What the next call touches, if it is none of the bucket's objects."""


@dataclass(frozen=True)
class Local:
    """Where an actor stands."""

    actor: int
    """Its place in a state."""
    step: Any
    """A Step, Executing, or None for a dispatcher between ticks and a canceller not begun."""
    mode: int = FIRST
    ticks: int = 0
    compared: int = 0
    """The inbox body that it read last."""
    stopped: bool = False
    """Of a dispatcher: whether its tick saw the operator's stop."""

    @property
    def touches(self) -> int:
        if self.step is None:
            return LISTING
        if isinstance(self.step, Executing):
            return NO_OBJECT
        match self.step.call:
            case CreateLease() | ReplaceLease() | DropLease() | ReadLease():
                return LEASE
            case CreateManifest() | ReadManifest():
                return MANIFEST
            case CreateResult() | ReadResult():
                return RESULT
            case ReadStops():
                return STOPPED
            case CreateCell(number, _) | ReadCell(number):
                return CELLS + int(number)
            case ReadInbox(key) | DropInbox(key):
                return INBOX if key == KEYS[0] else INBOX_2
        return NO_OBJECT

    def __str__(self) -> str:
        return "idle" if self.step is None else type(self.step).__name__ + " +?"[self.mode].strip()


@dataclass(frozen=True)
class Outcome:
    """What may come of an actor's next call."""

    fault: int
    """That it takes, or FREE."""
    value: int
    """What then stands in the object's place."""
    then: int
    """Where the actor then stands; 0 when it is done."""
    effect: int = NOTHING
    argument: int = 0


@dataclass
class Numbering:
    """0 is always nothing."""

    bodies: list[bytes] = field(default_factory=lambda: [b""])
    locals: list[Local | None] = field(default_factory=lambda: [None])
    touches: list[int] = field(default_factory=lambda: [NO_OBJECT])
    """By local."""
    idle: set[int] = field(default_factory=lambda: {0})
    """Locals that may stay where they are for ever."""
    payloads: list[SpawnPayload | None] = field(default_factory=lambda: [None])
    late: list[tuple[int, int, int]] = field(default_factory=lambda: [(0, 0, 0)])
    """Late writes: place, the value it needs there (-1: any), the value it writes."""
    _cells: dict[int, list[int]] = field(default_factory=dict)
    _body_ids: dict[bytes, int] = field(default_factory=dict)
    _local_ids: dict[str, int] = field(default_factory=dict)

    def body(self, body: bytes) -> int:
        if body not in self._body_ids:
            self._body_ids[body] = len(self.bodies)
            self.bodies.append(body)
        return self._body_ids[body]

    def local(self, local: Local) -> int:
        name = repr(local)  # results hold mappings, so that not every step can be hashed
        if name not in self._local_ids:
            self._local_ids[name] = len(self.locals)
            if local.step is None:
                self.idle.add(len(self.locals))
            self.locals.append(local)
            self.touches.append(local.touches)
        return self._local_ids[name]

    def payload(self, payload: SpawnPayload) -> int:
        self.payloads.append(payload)
        return len(self.payloads) - 1

    def late_write(self, place: int, needed: int, value: int) -> int:
        write = (place, needed, value)
        if write not in self.late:
            self.late.append(write)
        return self.late.index(write)

    def stored(self, value: int) -> Stored | None:
        if not value:
            return None
        body = self.bodies[value]
        return Stored(body, len(body), etag_of(value), NOW, NOW)

    def lease(self, value: int) -> Lease | None:
        return Lease.parse(self.bodies[value]) if value else None

    def is_cancelled(self, value: int) -> bool:
        result = Result.parse(self.bodies[value])
        return result is not None and result.status is Status.CANCELLED

    def cells_of(self, value: int) -> list[int]:
        """The bodies of the records that a result names, 0 for one that it lacks."""
        if value not in self._cells:
            result = Result.parse(self.bodies[value])
            named = [] if result is None else result.metadata.get("cells", [])
            self._cells[value] = [0 if cell is None else self.body(cell.encode()) for cell in named]
        return self._cells[value]

    def calls_back(self, value: int) -> bool:
        result = Result.parse(self.bodies[value])
        return result is not None and result.callback_url is not None


def etag_of(body: int) -> str:
    return f"e{body}"


def body_of(etag: str) -> int:
    return int(etag[1:] or -1)
