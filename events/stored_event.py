"""Events in the form in which they are kept, in results and leases, until PostHog has them.

All that makes two sendings of an event one event in PostHog is fixed here, once: uuid, time,
distinct id and properties. A replay sends what is stored and computes nothing.
"""

import json
import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, JsonValue

from events.catalogue import Common, Event, Scope
from events.identity import distinct_id_for

NAMESPACE = UUID("0f0a3a5e-4c39-5d0c-9a53-1d5d0e0b7f5c")
"""Of our uuid5s. Changing it makes every replayed event a new one."""

FLAGS: dict[str, JsonValue] = {
    # Without it the server shifts a replay's timestamp by its own clock minus `sent_at`, and a
    # shifted event is another event.
    "$ignore_sent_at": True,
    "$process_person_profile": False,
    "$geoip_disable": True,
    "$lib": "ryla-pipeline",
}


class StoredEvent(BaseModel):
    # What a later version notes beside these fields is kept in a lease, not sent, and nobody's to
    # read: the schema does not speak of it.
    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra=lambda schema: schema.pop("additionalProperties", None),
    )

    event: str
    uuid: str
    """uuid5: equal for two tellings of the same event."""
    distinct_id: str
    timestamp: str
    """ISO 8601, UTC, to the millisecond."""
    properties: dict[str, JsonValue]

    def wire(self) -> dict[str, Any]:
        """As it is sent: the same bytes every time, whatever stored it in between."""
        fields = self.model_dump(mode="json", include={*StoredEvent.model_fields})
        return fields | {"properties": dict(sorted(self.properties.items()))}


def stored(
    event: Event,
    common: Common,
    *,
    subject: str,
    at: datetime,
    distinct_id: str | None = None,
) -> StoredEvent:
    """The event as it is kept. `at` must know its time zone.

    `subject` is the id of what it is about: the job's, the rejected entry's name, the deployed
    version. `distinct_id` is the manifest's; the tenant stands in for none. Numbers that JSON has
    not become null. Raises KeyError for a per-kind event of a kind that has no stem.
    """
    if event.scope is Scope.REQUEST:
        common = _as_requested(common)
    name = event.name_for(common.kind)
    own = event.properties()
    return StoredEvent(
        event=name,
        uuid=_uuid(event, name, common, subject, own),
        distinct_id=distinct_id_for(distinct_id, common.tenant, f"{event.about}:{subject}"),
        timestamp=at.astimezone(UTC).isoformat(timespec="milliseconds"),
        properties=_finite(common.model_dump(mode="json") | own | FLAGS),
    )


def _as_requested(common: Common) -> Common:
    """A request knows of no attempt, so that every attempt tells of the same one."""
    unknown = dict.fromkeys(("gpu_type", "duration", "cost_usd", "error_code"))
    return common.model_copy(update={**unknown, "attempt": 1})


def _uuid(event: Event, name: str, common: Common, subject: str, own: dict[str, JsonValue]) -> str:
    when = common.attempt if event.scope is Scope.ATTEMPT else "final"
    ordinal = [own[field] for field in event.told_apart_by]
    # The environment is in it because staging and production may share one PostHog project.
    return str(uuid5(NAMESPACE, json.dumps([common.environment, subject, name, when, *ordinal])))


def _finite(properties: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """JSON has no NaN and no infinity."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in properties.items()
    }
