"""What an operator has stopped: `stops/<scope>`. That the object is there is the stop.

    stops/all               every job
    stops/tenant.<tenant>   the jobs of a tenant
    stops/kind.<kind>       the jobs of a kind

Its body says who stopped it and why, for people: no decision reads it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

from pipeline.contract.keys import is_name

STOPS = "stops/"
MAX_REASON = 500
"""Characters."""


class ScopeKind(StrEnum):
    ALL = "all"
    TENANT = "tenant"
    KIND = "kind"


@dataclass(frozen=True, order=True)
class StopScope:
    """Which jobs are meant."""

    of: ScopeKind
    name: str = ""
    """Of the tenant or the job kind; empty for all."""

    @property
    def key(self) -> str:
        return f"{STOPS}{self.of}" if self.of is ScopeKind.ALL else f"{STOPS}{self.of}.{self.name}"

    def __str__(self) -> str:
        return "all jobs" if self.of is ScopeKind.ALL else f"{self.of} {self.name}"

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """The scope of a key under stops/, or None for a stranger's object."""
        of, dot, name = key.removeprefix(STOPS).partition(".")
        if of == ScopeKind.ALL and not dot:
            return cls(ScopeKind.ALL)
        if of in (ScopeKind.TENANT, ScopeKind.KIND) and is_name(name):
            return cls(ScopeKind(of), name)
        return None


@dataclass(frozen=True)
class Stops:
    """The stops that stand at one moment."""

    scopes: frozenset[StopScope] = frozenset()

    @classmethod
    def of_keys(cls, keys: Iterable[str]) -> Self:
        found = (StopScope.parse(key) for key in keys)
        return cls(frozenset(scope for scope in found if scope is not None))

    def over(self, tenant: str | None, kind: str | None) -> StopScope | None:
        """The widest stop that a job falls under, or None. A bare key's job, whose tenant and kind
        nobody has read yet (None), falls under a stop of everything alone."""
        wanted = [StopScope(ScopeKind.ALL)]
        if tenant is not None:
            wanted.append(StopScope(ScopeKind.TENANT, tenant))
        if kind is not None:
            wanted.append(StopScope(ScopeKind.KIND, kind))
        return next((scope for scope in wanted if scope in self.scopes), None)


NO_STOPS = Stops()


class StopNote(BaseModel):
    """The body of a stop. Fields of a later version are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    v: int = 1
    reason: str | None = None
    by: str | None = None
    """User and machine, for people."""
    at: datetime | None = None
    """By the store's clock."""

    def body(self) -> bytes:
        return json.dumps(self.model_dump(mode="json", exclude_none=True)).encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """An empty note for bytes that are none: the stop stands all the same."""
        try:
            return cls.model_validate_json(body)
        except ValueError:
            return cls()
