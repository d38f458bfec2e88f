"""budgets.toml: what may be spent, by tenant, platform and batch, and for all."""

from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from config.platforms import Platform
from config.settings import PublicUrl
from config.tables import Row, Rows, load_table

EACH = "*"
"""As a tenant: each for itself."""
NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
FIRST = date(2020, 1, 1)
"""No job has ended before."""
BATCH = r"^[a-z0-9][a-z0-9-]{0,47}$"
"""As manifests name theirs: any other would bound nothing."""


class OnExceeded(StrEnum):
    WAIT = "wait"
    """Jobs wait until there is room."""
    REFUSE = "refuse"
    """They end as rejected, with the numbers."""


class Budget(Row):
    name: Annotated[str, Field(pattern=NAME)]
    """Stands in the keys of its alarms."""
    usd: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Of a UTC day; of a batch, from `since` on."""
    tenant: Annotated[str, Field(pattern=rf"^\*$|{NAME}")] | None = None
    """None for all together, `*` for each by itself."""
    platform: Platform | None = None
    """A name that is misspelt would bound nothing."""
    batch: Annotated[str, Field(pattern=BATCH)] | None = None
    since: Annotated[date, Field(ge=FIRST)] | None = None
    """The UTC day on which the batch was sent. Each day since then is listed at each look."""
    on_exceeded: OnExceeded = OnExceeded.WAIT
    alarm_url: PublicUrl | None = None
    """Where its alarms are told; None leaves it to RYLA_ALARM_URL."""

    @model_validator(mode="after")
    def _batch_is_whole(self) -> Self:
        if (self.batch is None) != (self.since is None):
            raise ValueError("batch and since go together")
        if self.batch is not None and self.tenant in (None, EACH):
            raise ValueError("a batch needs its tenant: others may use the same name")
        return self


class BudgetTable(Row):
    budgets: Rows[Budget] = Field(default_factory=dict)

    def prefixes(self, today: date) -> Iterator[tuple[date, str | None]]:
        """What has to be listed: days, and of each a tenant, None for all of it."""
        whole = any(row.tenant in (None, EACH) for row in self.budgets.values())
        if whole:
            yield today, None
        seen: set[tuple[date, str]] = set()
        for row in self.budgets.values():
            if row.tenant in (None, EACH):
                continue
            assert row.tenant is not None
            first = min(row.since or today, today)
            for ordinal in range(first.toordinal(), today.toordinal() + 1):
                day = date.fromordinal(ordinal)
                if (day, row.tenant) not in seen and not (whole and day == today):
                    seen.add((day, row.tenant))
                    yield day, row.tenant


NO_BUDGETS = BudgetTable()


def load_budgets(path: Path | None = None) -> BudgetTable:
    """budgets.toml, with `path` laid over it. Raises InvalidSetting."""
    return load_table("budgets.toml", path, BudgetTable)
