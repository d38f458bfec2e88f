"""Files under rejected/ what cannot become a job: a name that is no id, a used id's other body."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from config.errors import BadManifest, IdConflict, InvalidId, StoreDenied
from events.sender import Sender
from events.stored_event import StoredEvent
from pipeline.contract.error_info import error_info
from pipeline.contract.keys import MAX_BYTES, parse_inbox_key, rejected_key
from pipeline.dispatcher.rejection_events import send_rejection
from pipeline.notify.job_events import Origin, entry_rejected
from pipeline.store.base import Entry
from pipeline.store.conditional import Lost, SafeStore

PER_TICK = 64
"""Strangers' entries handled in one tick; they must not hold up the jobs behind them."""


@dataclass(frozen=True)
class Rejector:
    store: SafeStore
    sender: Sender
    origin: Origin

    def conflict(self, key: str, body: bytes) -> None:
        """Another body for a used id: filed. The caller removes the entry."""
        id = parse_inbox_key(key).id
        error = IdConflict(f"the id {id} was used with another manifest", field="id", value=id)
        self._file(key, body, error)

    def invalid_entries(self, entries: Iterable[Entry]) -> int:
        """Entries whose name is no job's: filed, then removed, at most PER_TICK. How many were."""
        return sum(self._invalid_entry(entry.key) for entry in list(entries)[:PER_TICK])

    def _invalid_entry(self, key: str) -> bool:
        try:
            parse_inbox_key(key)
        except InvalidId as error:
            reason = error
        try:
            stored = self.store.get(key, limit=MAX_BYTES + 1)
            if stored is not None:
                self._file(key, stored.body, reason)
                self.store.delete_matching(key, stored.etag)
        except StoreDenied as error:  # A name that even the store does not take.
            structlog.get_logger(__name__).error("entry_stuck", key=key, error=error.message)
            return False
        return True

    def _file(self, key: str, body: bytes, error: BadManifest) -> None:
        """Write the body and the reason under rejected/, and tell of it."""
        digest = hashlib.sha256(body).hexdigest()
        target = rejected_key(key, digest)
        event = entry_rejected(key, target, body, error, self.origin, self.store.now())
        record = {
            "v": 1,
            "key": key,
            "error": error_info(error).model_dump(mode="json"),
            "sha256": digest,
            "body": body[:MAX_BYTES].decode("utf-8", "backslashreplace"),
            "events": [event.model_dump(mode="json")],
        }
        outcome = self.store.create(target, json.dumps(record, indent=1).encode())
        structlog.get_logger(__name__).warning("entry_rejected", key=key, code=error.code)
        if isinstance(outcome, Lost) and outcome.current is not None:
            # Filed before, by one who went no further: the event is the one that stands there.
            event = _filed_event(outcome.current.body) or event
        send_rejection(self.store, self.sender, target, event)


def _filed_event(body: bytes) -> StoredEvent | None:
    try:
        return StoredEvent.model_validate(json.loads(body)["events"][0])
    except (ValueError, LookupError, TypeError):
        return None
