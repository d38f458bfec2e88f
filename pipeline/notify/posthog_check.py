"""Would PostHog take our events? Asked with real requests that send none."""

import json
from dataclasses import dataclass

import httpx

from config.settings import Settings
from pipeline.contract.keys import clip

PERSONAL_KEY = "phx_"
CLOUDS = "https://us.i.posthog.com, https://eu.i.posthog.com or that of your own PostHog"
KEY_FIX = (
    "Set RYLA_POSTHOG_API_KEY to the project's key, phc_…, of Project settings, and"
    " RYLA_POSTHOG_HOST to the cloud that the project is on: US and EU know only their own keys."
)
HOST_FIX = f"Set RYLA_POSTHOG_HOST to {CLOUDS}."
QUOTA_FIX = (
    "Raise the project's limit for events on PostHog's page of billing; until then events wait in"
    " the results, as long as RYLA_EVENT_TRIES last."
)
LATER_FIX = "Check RYLA_POSTHOG_HOST and the network; until then events wait in the results."


@dataclass(frozen=True)
class Finding:
    """What a look at PostHog has shown."""

    found: str
    fix: str | None = None
    """None: events arrive."""


def check_posthog(settings: Settings) -> Finding:
    """What delivery would meet. A batch of no events asks for the way to PostHog; its flags, which
    any library of its may ask for, tell whether it knows the key. Costs two requests."""
    assert settings.posthog_api_key is not None
    key = settings.posthog_api_key.get_secret_value().strip()
    if key.startswith(PERSONAL_KEY):
        return Finding(f"the key is a personal one ({PERSONAL_KEY}…): it takes no events", KEY_FIX)
    from events.posthog_sink import server_url  # noqa: PLC0415  its SDK takes 0.5 s to import

    host = server_url(settings.posthog_host)
    try:
        with httpx.Client(base_url=host, timeout=settings.posthog_timeout_seconds) as client:
            reply = client.post("/batch/", json={"api_key": key, "batch": []})
            refused = _refusal(host, reply)
            # Some servers look at no key before there is an event.
            flags = {"api_key": key, "distinct_id": "ryla-doctor"}
            asked = client.post("/flags/?v=2", json=flags) if refused is None else reply
    except httpx.HTTPError as error:
        return Finding(f"{host}: {type(error).__name__}", LATER_FIX)
    if refused is not None:
        return refused
    if asked.status_code in (401, 403):
        return _wrong_key(host, asked)
    known = "knows the key" if _is_json(asked) else "takes events; whether it knows the key is open"
    return Finding(f"{host} {known}")


def _refusal(host: str, reply: httpx.Response) -> Finding | None:
    """What keeps events from this server, None for an answer of PostHog's."""
    from events.posthog_sink import is_confirmation, is_over_quota, is_page  # noqa: PLC0415

    status = reply.status_code
    if status in (401, 403):
        return _wrong_key(host, reply)
    if status == 429 or (status >= 500 and status != 501):
        return Finding(f"{host} answers {status} now", LATER_FIX)
    if (status == 200 and is_confirmation(reply.content)) or (
        status == 400 and not is_page(reply.content)  # of no events
    ):
        return None
    if status == 200 and is_over_quota(reply.content):
        return Finding(f"{host} drops events: the project's quota is used up", QUOTA_FIX)
    if status in (200, 400):
        kind = reply.headers.get("Content-Type", "").partition(";")[0] or "a body"
        return Finding(
            f"{host} answers {status} with {kind} that is not PostHog's: a proxy, a sign-in page"
            " or another server",
            HOST_FIX,
        )
    return Finding(f"{host} answers {status} to POST /batch/: it is no PostHog", HOST_FIX)


def _wrong_key(host: str, reply: httpx.Response) -> Finding:
    return Finding(f"{host} refuses the key ({reply.status_code}): {clip(reply.text)}", KEY_FIX)


def _is_json(reply: httpx.Response) -> bool:
    try:
        return reply.status_code == 200 and isinstance(json.loads(reply.content), dict)
    except ValueError:
        return False
