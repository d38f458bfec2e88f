"""Reads and writes what an operator has stopped. One LIST tells all of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from config.errors import Stopped
from pipeline.contract.stops import STOPS, StopNote, Stops, StopScope
from pipeline.store.conditional import SafeStore, listed

MAX_NOTE_BYTES = 16 * 1024


def read_stops(store: SafeStore) -> Stops:
    """One LIST. Raises a StoreError."""
    return Stops.of_keys(entry.key for entry in listed(store, STOPS))


def stopped(scope: StopScope) -> Stopped:
    """Why a job goes no further for now."""
    return Stopped(f"an operator has stopped {scope}", field="stop", value=scope.key)


@dataclass(frozen=True)
class StandingStop:
    scope: StopScope
    note: StopNote
    since: datetime
    """As its note says, else when it was put."""


def standing_stops(store: SafeStore) -> Iterator[StandingStop]:
    """Those that stand, with what is noted of them: a GET for each."""
    for scope in sorted(read_stops(store).scopes):
        stored = store.get(scope.key, limit=MAX_NOTE_BYTES)
        if stored is not None:  # else lifted meanwhile
            note = StopNote.parse(stored.body)
            yield StandingStop(scope, note, note.at or stored.last_modified)


def put_stop(store: SafeStore, scope: StopScope, note: StopNote) -> None:
    """A stop that stands already gets the new note."""
    store.write(scope.key, note.body(), "application/json")


def lift_stop(store: SafeStore, scope: StopScope) -> bool:
    """Whether it stood. One that is put again meanwhile stays, where DELETE is conditional: a
    DELETE whose answer was lost is repeated, and must not take the next stop away."""
    standing = store.get(scope.key, limit=1)
    if standing is not None:
        store.delete_matching(scope.key, standing.etag)
    return standing is not None
