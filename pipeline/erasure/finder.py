"""Finds the jobs that are to be forgotten, and what goes with them. It deletes nothing."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from config.errors import UnknownJob
from pipeline.contract.keys import manifest_key, result_key
from pipeline.contract.result import Result
from pipeline.erasure.inventory import (
    Holding,
    Kept,
    Wanted,
    beside_objects,
    entries_of,
    keys_beside,
    lora_objects,
    own_objects,
    picture_sha256s,
    told_elsewhere,
)
from pipeline.erasure.scan import Scan, scan_jobs
from pipeline.erasure.scope import ChosenJob, Wish, chosen_jobs
from pipeline.erasure.trace import trace_of
from pipeline.jobs.status import find_entry
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore

A = TypeVar("A")
T = TypeVar("T")

JOBS_AT_ONCE = 8
"""Jobs that are looked at side by side."""


@dataclass(frozen=True)
class Plan:
    """What would be forgotten, as it stands now."""

    jobs: Sequence[ChosenJob]
    holdings: Sequence[Holding]
    kept: Sequence[Kept]
    loras: Sequence[Holding]
    """Trained on the person: only deleted when that is asked for too."""
    scan: Scan


@dataclass(frozen=True)
class Finder:
    """Reads one bucket."""

    store: SafeStore
    lora_prefix: str
    """Of LoRA files."""

    def plan(self, wish: Wish) -> Plan:
        """What would go. Raises UnknownJob for a job of which nothing stands."""
        scan = self.scan(wish)
        jobs = self.chosen(scan, wish)
        ids = [job.id for job in jobs]
        found = side_by_side(lambda id: self.beside(id, scan, self.result(id)[0]), ids)
        beside = set[str]().union(*found)
        wanted = self.wanted(ids, scan, wish)
        each = side_by_side(self._own, ids)
        own = [holding for holdings in each for holding in holdings]
        going, kept = beside_objects(self.store, wanted, beside)
        entries = entries_of(self.store, wanted)
        kept += told_elsewhere(self.store, wanted)
        return Plan(jobs, [*own, *going, *entries], kept, self.loras(scan, ids, wish), scan)

    def _own(self, id: str) -> list[Holding]:
        """Without the tombstone of a job that is forgotten already."""
        result, _ = self.result(id)
        forgotten = result is not None and result.erasure and result.erasure.ended_at
        own = own_objects(self.store, id)
        return [each for each in own if not forgotten or each.key != result_key(id)]

    def scan(self, wish: Wish) -> Scan:
        return scan_jobs(self.store, wish.ended_before)

    def chosen(self, scan: Scan, wish: Wish) -> list[ChosenJob]:
        jobs = chosen_jobs(scan.traces, wish, scan.old)
        if wish.job is not None:
            self._require(wish.job, wish.tenant)
        return jobs

    def _require(self, id: str, tenant: str | None) -> None:
        """Raises UnknownJob for one of which nothing stands, or of another tenant."""
        entry = None if self._stands(id) else find_entry(self.store, id)
        if entry is None and not self._stands(id):  # it may have been adopted between those looks
            raise UnknownJob(f"no job has the id {id}", field="id", value=id)
        if tenant is not None and self._tenant(id, entry) not in (None, tenant):
            raise UnknownJob(f"{tenant} has no job {id}", field="id", value=id)

    def _tenant(self, id: str, entry: Entry | None) -> str | None:
        """Whose a job is; None where nothing says it."""
        result, _ = self.result(id)
        if result is not None:
            return result.tenant
        stored = self.store.get(entry.key if entry else manifest_key(id))
        return None if stored is None else trace_of(id, stored.body).tenant

    def _stands(self, id: str) -> bool:
        """Whether anything is there but an entry that waits."""
        return self.result(id)[1] or any(True for _ in own_objects(self.store, id))

    def result(self, id: str) -> tuple[Result | None, bool]:
        """And whether anything stands there."""
        stored = self.store.get(result_key(id))
        return (None, False) if stored is None else (Result.parse(stored.body), True)

    def wanted(self, ids: Collection[str], scan: Scan, wish: Wish) -> Wanted:
        tenants = {scan.traces[id].tenant for id in ids if id in scan.traces}
        silent = [id for id in ids if id not in scan.traces]
        results = [result for result, _ in side_by_side(self.result, silent)]
        tenants |= {result.tenant for result in results if result and result.tenant}
        tenants |= {wish.tenant} if wish.tenant else set()
        return Wanted(frozenset(ids), scan, frozenset(tenants), wish.subject)

    def loras(self, scan: Scan, ids: Collection[str], wish: Wish) -> Sequence[Holding]:
        if wish.ended_before is not None:  # a retention is of jobs
            return []
        names = {name for id in ids if id in scan.traces for name in scan.traces[id].loras}
        names |= {wish.subject} if wish.subject else set()
        return lora_objects(self.store, self.lora_prefix, names)

    def beside(self, id: str, scan: Scan, result: Result | None) -> set[str]:
        """Keys outside its folder that go with a job."""
        begun = set(result.erasure.left) if result and result.erasure else set[str]()
        trace = scan.traces.get(id)
        tenant = trace.tenant if trace else result.tenant if result else None
        inputs = trace.inputs if trace else frozenset[str]()
        return begun | keys_beside(inputs, tenant, picture_sha256s(self.store, id, result))


def side_by_side(act: Callable[[A], T], each: Sequence[A]) -> list[T]:
    """What it answers for each, in their order."""
    with ThreadPoolExecutor(JOBS_AT_ONCE, "jobs") as pool:
        return [*pool.map(act, each)]
