"""Which jobs of a bucket an audit looks at."""

from dataclasses import dataclass
from datetime import datetime

from pipeline.contract.keys import JOBS, LEASES, lease_key


@dataclass(frozen=True)
class Part:
    """What of the bucket is looked at."""

    ids: frozenset[str] = frozenset()
    """Empty: every job."""
    prefix: str = ""
    """Of ids."""
    since: datetime | None = None
    """Of the results, only those that were written from then on are read."""

    @property
    def whole(self) -> bool:
        """Whether no job is left out."""
        return not self.ids and not self.prefix

    def has(self, id: str) -> bool:
        return id.startswith(self.prefix) and (not self.ids or id in self.ids)

    def job_prefixes(self) -> list[str]:
        """What to list to see every object of these jobs."""
        return [f"{JOBS}{id}/" for id in sorted(self.ids)] or [f"{JOBS}{self.prefix}"]

    def lease_prefixes(self) -> list[str]:
        return [lease_key(id) for id in sorted(self.ids)] or [f"{LEASES}{self.prefix}"]
