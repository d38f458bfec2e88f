"""Events to PostHog, over its SDK's wire layer.

The SDK's client confirms nothing: its flush() returns with events still queued, and what fails
after its own retries is logged. Its `batch_post` is one request that raises unless the server
answered 200, and that answer is what "delivered" means here.

Importing the SDK takes half a second: import this module only when there is a key.
"""

import json
from collections.abc import Iterator, Sequence

import requests
import structlog
from posthog.request import APIError, batch_post, determine_server_host

from config.errors import InvalidSetting
from events.outbox import StoredEvent
from events.sink import NotDelivered

MAX_BATCH_BYTES = 5 * 1024 * 1024
MAX_BATCH_EVENTS = 100

_EVENTS_AT_FAULT = frozenset({400, 413})
"""Statuses that speak about the body. A wrong key is 401, and every other status may pass."""


class PostHogSink:
    def __init__(
        self, api_key: str, host: str | None = None, *, timeout_s: float = 10.0, gzip: bool = False
    ) -> None:
        """`timeout_s` bounds the connecting and each wait for the answer. Raises InvalidSetting."""
        if not api_key.strip():
            raise InvalidSetting("The PostHog key is blank.", field="api_key")
        self._api_key = api_key.strip()
        self._host = determine_server_host(host)
        self._timeout_s = timeout_s
        self._gzip = gzip
        # One of our own: the SDK's is shared, and tries a host that does not answer three times.
        self._session = requests.Session()
        # A redirected POST becomes a GET, whose 200 would say that the events have arrived.
        self._session.max_redirects = 0

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        refused: list[StoredEvent] = []
        for batch in batches(events):
            refused += self._deliver(batch)
        return refused

    def _deliver(self, batch: list[StoredEvent]) -> list[StoredEvent]:
        """One bad event gets its whole batch refused, so halve until it is alone."""
        error = self._post(batch)
        if error is None:
            return []
        if len(batch) > 1:
            middle = len(batch) // 2
            return self._deliver(batch[:middle]) + self._deliver(batch[middle:])
        # It still stands in the job's result, where it can be looked up.
        structlog.get_logger(__name__).error(
            "event_refused", event_name=batch[0].event, uuid=batch[0].uuid, answer=_brief(error)
        )
        return batch

    def _post(self, batch: list[StoredEvent]) -> APIError | None:
        """None when the server took the batch, its answer when the events are at fault."""
        try:
            batch_post(
                self._api_key,
                self._host,
                gzip=self._gzip,
                timeout=self._timeout_s,
                session=self._session,
                batch=[event.wire() for event in batch],
                historical_migration=False,
            )
        except APIError as error:
            if error.status in _EVENTS_AT_FAULT:
                return error
            raise NotDelivered(_brief(error), retry_after_s=error.retry_after) from error
        except (requests.RequestException, TypeError) as error:
            # A TypeError is the SDK's, over an error page that is JSON and no object.
            raise NotDelivered(f"{type(error).__name__} at {self._host}") from error
        return None


def batches(events: Sequence[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """The events in order, in batches that the server takes."""
    batch: list[StoredEvent] = []
    size = 0
    for event in events:
        more = len(json.dumps(event.wire()))
        if batch and (len(batch) == MAX_BATCH_EVENTS or size + more > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += more
    if batch:
        yield batch


def _brief(error: APIError) -> str:
    return f"{error.status}: {str(error.message)[:200]}"
