"""Cells of a bill: a time, an amount of dollars, a name. Pure."""

import re
from datetime import UTC, datetime

FIRST_YEAR, LAST_YEAR = 2020, 2099
"""Of a bill. A number such as 20261119 or 17635104 reads as a date, and may be of the year 1763."""
MOST_USD = 1e9
"""Of a row, up or down."""
_AMOUNT = re.compile(
    r"-?\$?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d*)?(?:[eE][-+]?\d{1,3})?|-?\$?\.\d+", re.ASCII
)
_MOST_NAME = 80


def day_of(text: str) -> str | None:
    """The UTC day, YYYY-MM-DD, of a time in ISO form; without a zone it is UTC. None of any other
    form: 11/12/2026 may be of November or December."""
    try:
        moment = datetime.fromisoformat(re.sub(r"\s*UTC$", "+00:00", text.strip()))
    except ValueError:
        return None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d}"


def usd_of(text: str) -> float | None:
    """Dollars, with or without a sign, `$` and commas between thousands. None of anything else,
    such as a decimal comma or another currency."""
    plain = text.strip()
    if _AMOUNT.fullmatch(plain) is None:
        return None
    amount = float(plain.replace("$", "").replace(",", ""))
    return amount if abs(amount) <= MOST_USD else None


def name_of(text: str) -> str:
    """As it can be shown: printable, and not longer than a line."""
    shown = "".join(each if each.isprintable() else "?" for each in text.strip())
    return shown if len(shown) <= _MOST_NAME else f"{shown[: _MOST_NAME - 1]}…"
