"""`callback_url`: one signed POST to the producer when a job has ended, whatever its end.

Headers and signature are those of Standard Webhooks. A callback comes at least once, and each time
with the same `webhook-id` (the job's id) and the same body, which tell what result.json tells.
"""

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from pydantic_core import from_json

from config.budgets import BudgetTable
from config.errors import BadManifest, InvalidField, InvalidSetting, NotAvailable
from config.settings import Settings, listed, webhook_key
from events.sink import NotDelivered, retry_after_s
from pipeline.contract.keys import clip, result_key
from pipeline.contract.manifest import MAX_METADATA_BYTES
from pipeline.contract.result import Result
from pipeline.public_https import INTERNET, BadUrl, PublicHttps, destination_of


def require_callback(url: str | None, settings: Settings) -> None:
    """Raises what keeps this deployment from calling that URL: NotAvailable without a secret,
    InvalidField for a URL or a host that is not called. None is no URL, and passes."""
    if url is None:
        return
    if settings.callback_secret is None:
        raise NotAvailable(
            "callback_url is not available here: nothing is set to sign callbacks with",
            field="callback_url",
            value=url,
            hint="Leave it out, or have the operator set RYLA_CALLBACK_SECRET.",
        )
    try:
        host = destination_of(url).host
    except BadUrl as error:
        raise InvalidField(
            f"callback_url: {error}", field="callback_url", value=url, hint=error.hint
        ) from None
    if host not in listed(settings.callback_hosts):
        raise InvalidField(
            f"callbacks are not sent to {clip(host)}",
            field="callback_url",
            value=url,
            hint="The operator lists hosts in RYLA_CALLBACK_HOSTS.",
        )


def require_alarm_secret(budgets: BudgetTable, settings: Settings) -> None:
    """Raises InvalidSetting where a budget has an address and there is nothing to sign with."""
    addressed = [row for row in budgets.budgets.values() if row.alarm_url is not None]
    if addressed and settings.callback_secret is None:
        field = f"budgets.{addressed[0].name}.alarm_url"
        raise InvalidSetting(
            f"{field} needs RYLA_CALLBACK_SECRET, which signs what is sent there",
            field=field,
            value=addressed[0].alarm_url,
            hint="RYLA_CALLBACK_SECRET=whsec_$(openssl rand -base64 32)",
        )


@dataclass(frozen=True)
class Reporting:
    """What a manifest says of how its end is told, as far as it can be read, valid or not."""

    callback_url: str | None
    metadata: dict[str, Any]


def reporting(body: bytes, settings: Settings) -> Reporting:
    """Of a job that ends without having run. A URL that may not be called counts as none."""
    try:
        document = from_json(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return Reporting(None, {})
    url = document.get("callback_url")
    try:
        require_callback(url if isinstance(url, str) else None, settings)
    except BadManifest:
        url = None
    return Reporting(url if isinstance(url, str) else None, _kept(document.get("metadata")))


def _kept(metadata: object) -> dict[str, Any]:
    """Metadata as a valid manifest could have it, else none."""
    try:
        size = len(json.dumps(metadata, allow_nan=False))
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) and size <= MAX_METADATA_BYTES else {}


def payload(result: Result) -> bytes:
    """The body of the callback: the same bytes however often it is sent."""
    error, cost = result.error, result.cost
    data = {
        "id": result.id,
        "status": result.status,
        "model": result.model,
        "tenant": result.tenant,
        "result": result_key(result.id),
        "outputs": [output.key for output in result.outputs],
        "error": error and error.model_dump(include={"code", "message", "field", "hint"}),
        "cost_usd": cost and cost.total_usd,
        "metadata": result.metadata,
    }
    document = {
        "type": f"job.{result.status}",
        "timestamp": result.finished_at.isoformat(),
        "data": data,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def signature(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over `id.timestamp.body`, as Standard Webhooks
    has it. `timestamp` is in seconds since 1970, `key` what `webhook_key` gives."""
    signed = b".".join((id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


@dataclass(frozen=True)
class Caller:
    """Makes callbacks, each tried once."""

    settings: Settings
    now: Callable[[], datetime]
    """The time that is signed, and that a Retry-After date is held against."""
    web: PublicHttps = INTERNET

    def call(self, result: Result) -> None:
        """Returns when the other side has taken it, or never will. Raises NotDelivered."""
        url = result.callback_url
        try:
            require_callback(url, self.settings)
        except BadManifest as error:  # set or allowed when the job was taken, and here not
            raise NotDelivered(error.message) from None
        if url is not None:
            self.post(url, result.id, payload(result))

    def post(self, url: str, id: str, body: bytes) -> None:
        """As `call`, to an address that was judged; `id` is the `webhook-id`."""
        try:
            self._post(url, id, body)
        except TimeoutError:
            seconds = self.settings.callback_timeout_seconds
            raise NotDelivered(f"no answer within {seconds:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotDelivered(clip(str(error))) from None

    def _post(self, url: str, id: str, body: bytes) -> None:
        place = destination_of(url)
        until = time.monotonic() + self.settings.callback_timeout_seconds
        headers = self._headers(id, body)
        with self.web.asked("POST", place, until, headers=headers, body=body) as reply:
            # Neither the body of an answer nor its redirect is looked at.
            status, wait = reply.status, reply.getheader("Retry-After")
        if status == http.client.GONE:
            log = structlog.get_logger(__name__)
            log.warning("callback_gone", id=id, host=place.host)
        elif not 200 <= status < 300:
            wait_s = retry_after_s(wait, self.now())
            raise NotDelivered(f"it answered {status}", status=status, retry_after_s=wait_s)

    def _headers(self, id: str, body: bytes) -> dict[str, str]:
        timestamp = int(self.now().timestamp())
        key = webhook_key(self.settings)
        return {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "webhook-id": id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(key, id, timestamp, body),
        }


def target_of(result: Result) -> str:
    """The host that a callback goes to: what its failure says something about."""
    try:
        return destination_of(result.callback_url or "").host
    except BadUrl:
        return "callback"
