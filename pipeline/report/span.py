"""The span of time that a report is about."""

import re
from datetime import UTC, datetime, timedelta

from config.errors import InvalidInput

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=3660)


def since(text: str, now: datetime, field: str = "--since") -> datetime:
    """When the span begins, in UTC: `24h`, `7d`, `2026-11-01`, or a time; without a zone it is UTC.

    `now` is the store's clock, `field` what errors name. Raises InvalidInput, also for a time
    to come.
    """
    ago = re.fullmatch(r"([0-9]{1,6})([mhdw])", text)
    if ago:
        back = timedelta(**{UNITS[ago[2]]: int(ago[1])})
        if timedelta() < back <= LONGEST:
            return now - back
    try:
        begin = datetime.fromisoformat(text)
    except ValueError:
        raise _unreadable(text, field) from None
    begin = begin.replace(tzinfo=UTC) if begin.tzinfo is None else begin.astimezone(UTC)
    if begin >= now:
        raise InvalidInput(
            f"{text} is not past yet: the store's clock says {now:%Y-%m-%d %H:%M} UTC",
            field=field,
            value=text,
        )
    return begin


def _unreadable(text: str, field: str) -> InvalidInput:
    return InvalidInput(
        f"{text!r} is no time and no span",
        field=field,
        value=text,
        hint="Write 24h, 7d, 2026-11-01 or 2026-11-01T12:00+00:00.",
    )
