"""Events to PostHog, over its SDK's wire layer.

The SDK's client confirms nothing: its flush() returns with events still queued, and what fails
after its own retries is logged. Its `post` is one request, and the server's 200 is what "delivered"
means here, if the answer is PostHog's: a proxy or a sign-in page answers 200 too.

Importing the SDK takes half a second: import this module only when there is a key.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import requests
import structlog
from posthog.request import EVENTS_ENDPOINT, determine_server_host, post

from config.errors import InvalidSetting
from events.sink import NotDelivered, retry_after_s
from events.stored_event import StoredEvent

MAX_BATCH_BYTES = 5 * 1024 * 1024
"""Of JSON, as the SDK's own batches: the server takes 20 MiB in one request."""
MAX_BATCH_EVENTS = 100
"""As the SDK's own batches."""

_EVENTS_AT_FAULT = frozenset({400, 413})
"""Statuses that speak about the body, unless a page comes with them: those are of a proxy, or of a
port that takes no http. A wrong key is 401, and every other status may pass."""


class PostHogSink:
    def __init__(
        self, api_key: str, host: str | None = None, *, timeout_s: float = 10.0, gzip: bool = False
    ) -> None:
        """`timeout_s` bounds the connecting and each wait for the answer. Raises InvalidSetting."""
        if not api_key.strip():
            raise InvalidSetting("The PostHog key is blank.", field="api_key")
        self._api_key = api_key.strip()
        self._host = server_url(host)
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
        refusal = self._post(batch)
        if refusal is None:
            return []
        if len(batch) > 1:
            middle = len(batch) // 2
            return self._deliver(batch[:middle]) + self._deliver(batch[middle:])
        # It still stands in the job's result, where it can be looked up.
        structlog.get_logger(__name__).error(
            "event_refused", event_name=batch[0].event, uuid=batch[0].uuid, answer=refusal
        )
        return batch

    def _post(self, batch: list[StoredEvent]) -> str | None:
        """None when the server took the batch, its answer when the events are at fault."""
        try:
            reply = post(
                self._api_key,
                self._host,
                EVENTS_ENDPOINT,
                self._gzip,
                self._timeout_s,
                session=self._session,
                batch=[event.wire() for event in batch],
                historical_migration=False,
            )
        except requests.RequestException as error:
            status = None if error.response is None else error.response.status_code
            why = type(error).__name__ if status is None else f"{status}, {type(error).__name__}"
            raise NotDelivered(f"{why} at {self._host}", status=status) from error
        status, answer = reply.status_code, brief(reply)
        if status == 200 and is_confirmation(reply.content):
            return None
        if status in _EVENTS_AT_FAULT and not is_page(reply.content):
            return answer
        wait_s = retry_after_s(reply.headers.get("Retry-After"), datetime.now(UTC))
        raise NotDelivered(answer, status=status, retry_after_s=wait_s)


def server_url(host: str | None) -> str:
    """Where events go: the cloud's pages and its server for events have names of their own."""
    return determine_server_host(host).rstrip("/")


def is_confirmation(body: bytes) -> bool:
    """Whether this is how PostHog says that it has the events: `{"status": 1}` or `"Ok"`."""
    answer = _object(body)
    return str(answer.get("status")).lower() in ("1", "ok") and not is_over_quota(body)


def is_over_quota(body: bytes) -> bool:
    """Whether PostHog drops the events because the project's quota is used up. It says so beside
    its `"status"`: `"quota_limited": ["events"]`. Other names in that list, such as recordings,
    concern no event."""
    return "events" in str(_object(body).get("quota_limited"))


def _object(body: bytes) -> dict[str, object]:
    """What a JSON object says; nothing where the body is none."""
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def is_page(body: bytes) -> bool:
    """HTML, which PostHog never answers."""
    return body.lstrip()[:1] == b"<"


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


def brief(reply: requests.Response) -> str:
    """An answer for people: status, kind where it is no JSON, and how its body begins."""
    kind = reply.headers.get("Content-Type", "").partition(";")[0]
    named = f" ({kind})" if kind and "json" not in kind else ""
    return f"{reply.status_code}{named}: {reply.content[:200].decode('utf-8', 'replace')}"
