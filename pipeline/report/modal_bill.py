"""Modal's own billing report beside our sums: asked of its CLI, where the plan has one.

Modal bills containers, we sum jobs. What it bills beyond our sums is idle workers, the dispatcher,
the web function, downloads and builds; so ours over Modal's is at most about 1.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from config.errors import InvalidInput
from pipeline.report.bill_file import Billed, billed, json_rows
from pipeline.report.money import By, Ledger

TIMEOUT_S = 120.0
WHOLE_DAYS = "%Y-%m-%d"
"""The form of a day here, and in what the CLI is asked."""


class NoBilling(Exception):
    """Why there is nothing to set beside our sums. Its text is shown; the report goes on."""


@dataclass(frozen=True)
class Day:
    day: str
    """YYYY-MM-DD, UTC; or `all`."""
    ours_usd: float
    modal_usd: float

    @property
    def ratio(self) -> float | None:
        """Ours over Modal's."""
        return self.ours_usd / self.modal_usd if self.modal_usd else None


@dataclass(frozen=True)
class Billing:
    app: str
    days: Sequence[Day] = ()
    others_usd: float = 0.0
    """Billed in those days for objects of other names."""
    why_not: str | None = None
    """Why it could not be had."""

    @property
    def whole(self) -> Day:
        return Day(
            "all",
            sum(day.ours_usd for day in self.days),
            sum(day.modal_usd for day in self.days),
        )

    @property
    def with_whole(self) -> Sequence[Day]:
        return [*self.days, self.whole]

    def document(self) -> dict[str, Any]:
        return {
            "app": self.app,
            "why_not": self.why_not,
            "days": [_shown(day) for day in self.days],
            "all": _shown(self.whole) if self.days else None,
            "others_usd": round(self.others_usd, 6),
        }


def beside(
    ledger: Ledger, since: datetime, until: datetime, app: str, environ: Mapping[str, str]
) -> Billing:
    """Asks Modal; what it cannot tell is told as the reason."""
    try:
        begin, end = whole_days(since, until)
        return compared(ledger, parse(ask(begin, end, environ)), begin, end, app)
    except NoBilling as error:
        return Billing(app, why_not=str(error))


def whole_days(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """The UTC days that lie in the span from end to end; Modal bills by these. Raises NoBilling."""
    begin, end = _midnight(since), _midnight(until)
    if begin < since:
        begin += timedelta(days=1)
    if begin >= end:
        raise NoBilling(
            "the span holds no whole day of UTC, and Modal reports whole days: ask for a longer"
            " one, such as --since 7d"
        )
    return begin, end


def ask(begin: datetime, end: datetime, environ: Mapping[str, str]) -> str:
    """What `modal billing report` prints for the days from `begin` to before `end`. Raises
    NoBilling."""
    words = ["billing", "report", "--json", "--resolution", "d"]
    words += ["--start", begin.strftime(WHOLE_DAYS), "--end", end.strftime(WHOLE_DAYS)]
    try:
        done = subprocess.run(
            [_cli(environ), *words],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoBilling(f"Modal's CLI did not answer: {error}") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        said = " ".join(line.strip(" │╭╮╰╯─") for line in lines).strip()
        raise NoBilling(f"`modal billing report` was refused: {said or done.returncode}")
    return done.stdout


def parse(text: str) -> list[Billed]:
    """The rows that it printed as JSON. Raises NoBilling for anything else."""
    source = "`modal billing report`"
    try:
        return billed([*json_rows(json.loads(text or "[]"), source)], source)
    except (ValueError, InvalidInput) as error:
        raise NoBilling(f"{source} answered something unknown ({error})") from None


def compared(
    ledger: Ledger, bill: Sequence[Billed], begin: datetime, end: datetime, app: str
) -> Billing:
    """Day by day, our sums beside what was billed for the app; `end` is excluded."""
    ours = ledger.by[By.DAY]
    days = [begin + timedelta(days=n) for n in range((end - begin).days)]
    rows = []
    for name in (day.strftime(WHOLE_DAYS) for day in days):
        modal = sum(each.usd for each in bill if each.day == name and each.name == app)
        rows.append(Day(name, ours[name].total_usd if name in ours else 0.0, modal))
    return Billing(app, rows, sum(each.usd for each in bill if each.name != app))


def _shown(day: Day) -> dict[str, Any]:
    ratio = None if day.ratio is None else round(day.ratio, 4)
    return {
        "day": day.day,
        "ours_usd": round(day.ours_usd, 6),
        "modal_usd": round(day.modal_usd, 6),
        "ratio": ratio,
    }


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _cli(environ: Mapping[str, str]) -> str:
    """The one that is installed beside this, else any on the PATH."""
    beside = Path(sys.executable).with_name("modal")
    found = shutil.which("modal", path=environ.get("PATH")) or (str(beside) * beside.exists())
    if not found:
        raise NoBilling("Modal's CLI is not installed: pip install modal")
    return found
