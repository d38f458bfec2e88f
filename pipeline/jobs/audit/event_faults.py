"""What is a fault of the events of one job. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping

from events.catalogue import STEMS, Event, Scope
from events.moments import TABLE
from events.stored_event import StoredEvent
from pipeline.jobs.audit.faults import Fault, FaultKind


def event_faults(events: Iterable[StoredEvent], key: str) -> Iterator[Fault]:
    """Of one job's events: `key` is where they stand."""
    by_uuid: dict[str, StoredEvent] = {}
    by_meaning: dict[str, str] = {}
    for event in events:
        first = by_uuid.setdefault(event.uuid, event)
        if first.wire() != event.wire():
            found = f"{event.uuid} stands for {first.event} and for {event.event}, and they differ"
            yield Fault(FaultKind.EVENT_DIFFERS, key, found)
            continue
        meaning = _meaning(event)
        uuid = event.uuid if meaning is None else by_meaning.setdefault(meaning, event.uuid)
        if uuid != event.uuid:
            found = f"{event.event} has the uuids {uuid} and {event.uuid}"
            yield Fault(FaultKind.EVENT_TWICE, key, found)


def _meaning(event: StoredEvent) -> str | None:
    """What happened, in the terms of its job. None for an event that this version does not know."""
    known = _KNOWN.get(event.event)
    if known is None:
        return None
    when = event.properties.get("attempt") if known.scope is Scope.ATTEMPT else "final"
    ordinal = [event.properties.get(name) for name in known.told_apart_by]
    return json.dumps([event.event, when, ordinal])


def _known() -> Iterator[tuple[str, type[Event]]]:
    for event in TABLE.values():
        for kind in STEMS:
            yield event.name_for(kind), event


_KNOWN: Mapping[str, type[Event]] = dict(_known())
"""By the name of the event."""
