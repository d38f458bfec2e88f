"""Amazon SNS asks a new subscriber to confirm: by fetching a URL that stands in the message.

Whoever knows the doorbell's token can send such a message, so the URL is not trusted: it must be
SNS's own, and ask for nothing but that confirmation.
"""

import http.client
import re
import time
from urllib.parse import parse_qs, urlsplit

from pydantic_core import from_json

from pipeline.api.request_errors import BadRequest, NotConfirmed
from pipeline.contract.keys import clip
from pipeline.public_https import INTERNET, BadUrl, Destination, PublicHttps, destination_of

MESSAGE_TYPE = "x-amz-sns-message-type"
CONFIRMATION = "SubscriptionConfirmation"
SECONDS = 10.0
"""SNS waits 15 s for the answer to its message."""
_HOST = re.compile(r"sns\.[a-z0-9-]{1,40}\.amazonaws\.com(\.cn)?")


def confirmation(body: bytes) -> Destination:
    """What a message asks to fetch. Raises BadRequest unless it is SNS's confirmation."""
    try:
        message = from_json(body)
    except ValueError:
        message = None
    url = message.get("SubscribeURL") if isinstance(message, dict) else None
    if not isinstance(url, str):
        raise _refused("no SubscribeURL in the message")
    try:
        owned = destination_of(url)
    except BadUrl as error:
        raise _refused(str(error)) from None
    if not _HOST.fullmatch(owned.host):
        raise _refused(f"{clip(owned.host)} is not SNS")
    if parse_qs(urlsplit(url).query).get("Action") != ["ConfirmSubscription"]:
        raise _refused("it asks for something else than ConfirmSubscription")
    return owned


def confirm(owned: Destination, web: PublicHttps = INTERNET) -> None:
    """Raises NotConfirmed when SNS does not take it; it then asks again."""
    try:
        with web.asked("GET", owned, time.monotonic() + SECONDS, headers={}) as reply:
            status = reply.status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotConfirmed(f"{owned.host} did not answer: {clip(str(error))}") from None
    if status != http.client.OK:
        raise NotConfirmed(f"{owned.host} answered {status}")


def _refused(why: str) -> BadRequest:
    return BadRequest(f"the subscription is not confirmed: {why}")
