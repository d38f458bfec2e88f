"""What each ended job cost, in the key of an object of its own, so that a LIST is a sum.

    spend/<day>/<tenant>/<platform>.<kind>.<units>.<batch>.<id>

`day` is the UTC day on which the job ended, `units` its whole cost in hundredths of a cent, rounded
up. What is not known is `-`. It is created by whoever commits the result or finds it, from the
result alone, so whoever does makes the same key.

    spend/since/<day>

says that every result of that UTC day and later has its object: then spend/ is the index by day.

    spend/marks/<day>[.<tenant>].json

has keys of a long day, by which it is listed in parts (pipeline/queue/spend_parts.py).
"""

import re
from dataclasses import dataclass
from datetime import UTC, date
from math import ceil
from typing import Self

from pipeline.contract.keys import is_id, is_name
from pipeline.contract.result import Result

SPEND = "spend/"
BODY = b"{}"
"""The same for all: two writers of a key have written the same."""
UNITS = 10_000
"""Of a dollar."""
MOST = 10**12 - 1
"""Units that a key may say: a hundred million dollars."""
UNKNOWN = "-"
SINCE = f"{SPEND}since/"
MARKS = f"{SPEND}marks/"
EVER = date.min
"""Since when spend/ holds all of a bucket in which no job had ended before."""
_KEY = re.compile(
    rf"{SPEND}(\d{{4}}-\d\d-\d\d)/([^/]+)/([^./]+)\.([^./]+)\.(\d{{1,12}})\.([^./]+)\.([^./]+)"
)


def spend_day(day: date) -> str:
    """Where all of a day lies."""
    return f"{SPEND}{day.isoformat()}/"


def spend_prefix(day: date, tenant: str) -> str:
    """Where a tenant's jobs of a day lie."""
    return f"{spend_day(day)}{tenant}/"


def spend_of(day: date, tenant: str | None) -> str:
    """Where a tenant's jobs of a day lie; those of all of them for None."""
    return spend_day(day) if tenant is None else spend_prefix(day, tenant)


def since_key(day: date) -> str:
    """Of the object that says that nothing is missing from that day on."""
    return f"{SINCE}{day.isoformat()}"


def since_day(key: str) -> date | None:
    """The day of such a key, or None for a stranger's."""
    return _day(key.removeprefix(SINCE)) if key.startswith(SINCE) else None


def day_of(key: str) -> date | None:
    """The day under which a key lies, whatever it is; None for none."""
    return _day(key.removeprefix(SPEND).partition("/")[0])


def _day(text: str) -> date | None:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class SpendEntry:
    """One ended job."""

    day: date
    id: str
    units: int
    """Hundredths of a cent."""
    tenant: str | None = None
    platform: str | None = None
    kind: str | None = None
    batch: str | None = None

    @property
    def usd(self) -> float:
        return self.units / UNITS

    @property
    def key(self) -> str:
        parts = (self.platform, self.kind, str(self.units), self.batch, self.id)
        folder = spend_prefix(self.day, self.tenant or UNKNOWN)
        return folder + ".".join(part or UNKNOWN for part in parts)

    @classmethod
    def of(cls, result: Result) -> Self:
        """Of a result. What can stand in no key counts as unknown."""
        cost = 0.0 if result.cost is None else result.cost.total_usd
        return cls(
            day=result.finished_at.astimezone(UTC).date(),
            id=result.id,
            units=min(max(0, ceil(cost * UNITS - 1e-6)), MOST),
            tenant=_named(result.tenant),
            platform=_named(result.platform),
            kind=_named(result.model),
            batch=_named(result.batch),
        )

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """The entry of a key, or None for a stranger's object under spend/."""
        match = _KEY.fullmatch(key)
        if match is None or not is_id(match[7]):
            return None
        day = _day(match[1])
        if day is None:
            return None
        names = [match[n] for n in (2, 3, 4, 6)]
        if not all(name == UNKNOWN or is_name(name) for name in names):
            return None
        tenant, platform, kind, batch = map(_known, names)
        return cls(day, match[7], int(match[5]), tenant, platform, kind, batch)


def _named(value: str | None) -> str | None:
    return value if value is not None and is_name(value) else None


def _known(value: str) -> str | None:
    return None if value == UNKNOWN else value
