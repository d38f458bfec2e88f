"""`/metrics` for Prometheus: gauges of what waits and what is in progress, read from the bucket.

Every process of a deployment shows the same figures, so scrape one of them. A look costs as many
LISTs as `ryla status` and a GET for each lease that changed; one serves everybody for some seconds.
Totals by kind: no tenant sees another's figures. Figures of money are for the operator alone, who
has a key of RYLA_TENANT.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.responses import Response

from pipeline.api.dependencies import ApiDependencies
from pipeline.api.openapi import problems
from pipeline.api.request import Shared, Tenant, require_query
from pipeline.contract.lease import Phase
from pipeline.contract.stops import NO_STOPS, ScopeKind, Stops
from pipeline.jobs.hold_ups import BudgetUse, HoldUps, read_hold_ups
from pipeline.jobs.status import JobView, LeaseWatch, Overview, State, overview
from pipeline.queue.expiry import Lifetimes
from pipeline.queue.stops import read_stops

FRESH_S = 5.0
"""How old the figures may be: they cost a listing."""
COUNTED_S = 60.0
"""How old those of budgets may be: they cost a LIST for every 1,000 jobs that have ended today."""
UNKNOWN = "unknown"
"""The kind of a job whose key says none, before it is claimed."""
IN_PROGRESS = (State.CLAIMED, State.RUNNING, State.RETRY)


class Gauges(Collector):
    """One overview as gauges."""

    def __init__(self, seen: Overview, lifetimes: Lifetimes, stops: Stops = NO_STOPS) -> None:
        self._stops = stops
        self._seen = seen
        self._lifetimes = lifetimes

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield self._jobs()
        yield self._oldest()
        held = self._seen.held.values()
        for name, text, value in (
            (
                "ryla_leases_past_life",
                "Jobs whose dispatcher or worker is gone, not taken over yet.",
                sum(self._past_life(view) for view in held),
            ),
            (
                "ryla_jobs_owing",
                "Finished jobs whose events or callback have not arrived yet.",
                sum(view.state is State.DELIVERING for view in held),
            ),
            (
                "ryla_rejected_entries",
                "Entries under rejected/; counted up to 1000.",
                self._seen.rejected,
            ),
            (
                "ryla_inbox_strangers",
                "Inbox entries whose name is no job's.",
                self._seen.invalid_entries,
            ),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield self._stopped()

    def _stopped(self) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily("ryla_stops", "Stops that stand.", labels=["of"])
        count = Counter(scope.of for scope in self._stops.scopes)
        for of in ScopeKind:
            gauge.add_metric([of.value], count[of])
        return gauge

    def _jobs(self) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily("ryla_jobs", "Unfinished jobs.", labels=["state", "kind"])
        count: Counter[tuple[State, str]] = Counter()
        for group, there in self._seen.waiting.items():
            count[State.WAITING, group.model or UNKNOWN] += there.count
        for view in self._seen.held.values():
            if view.state in IN_PROGRESS and not _is_vacant(view):
                count[view.state, _kind(view)] += 1
        for (state, kind), number in sorted(count.items()):
            gauge.add_metric([state.value, kind], number)
        return gauge

    def _oldest(self) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(
            "ryla_oldest_waiting_seconds", "Age of the job that waits longest.", labels=["kind"]
        )
        ages: dict[str, float] = {}
        for group, there in self._seen.waiting.items():
            kind, age = group.model or UNKNOWN, _seconds(self._seen.now - there.oldest)
            ages[kind] = max(age, ages.get(kind, 0.0))
        for kind, age in sorted(ages.items()):
            gauge.add_metric([kind], age)
        return gauge

    def _past_life(self, view: JobView) -> bool:
        lease = view.lease
        if lease is not None and lease.phase is Phase.RETRY:
            return False
        life = self._lifetimes.unreadable_s if lease is None else lease.ttl_s
        age = timedelta() if view.since is None else self._seen.now - view.since
        return _seconds(age) > life + self._lifetimes.margin_s


class BudgetGauges(Collector):
    """What is used up of each budget. `tenant` is empty where a budget is not for each tenant."""

    def __init__(self, hold_ups: HoldUps) -> None:
        self._budgets = hold_ups.budgets

    def collect(self) -> Iterable[GaugeMetricFamily]:
        figures: Mapping[str, tuple[str, Callable[[BudgetUse], float]]] = {
            "limit_usd": ("Of today, UTC, or of the batch.", lambda use: use.budget.usd),
            "spent_usd": ("By jobs that have ended.", lambda use: use.spent_usd),
            "used_usd": ("With what other jobs may cost yet.", lambda use: use.used_usd),
            "used_share": ("Used, of the limit.", lambda use: use.share),
        }
        for name, (text, value) in figures.items():
            gauge = GaugeMetricFamily(f"ryla_budget_{name}", text, labels=["budget", "tenant"])
            for use in self._budgets:
                gauge.add_metric([use.account.row, use.account.tenant or ""], value(use))
            yield gauge


def _seconds(age: timedelta) -> float:
    return max(0.0, age.total_seconds())


def _is_vacant(view: JobView) -> bool:
    return view.lease is not None and view.lease.vacant


def _kind(view: JobView) -> str:
    return (view.lease.model if view.lease else None) or UNKNOWN


def _text(gauges: Collector) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(gauges)
    return generate_latest(registry)


def metrics_router(
    dependencies: ApiDependencies,
    monotonic: Callable[[], float] = time.monotonic,
) -> APIRouter:
    router = APIRouter(tags=["about"])
    leases, one_look = LeaseWatch(dependencies.store), asyncio.Lock()
    runtime = dependencies.runtime
    lifetimes = Lifetimes.of(runtime.settings)
    store = dependencies.store
    text, money, made_at, counted_at = b"", b"", float("-inf"), float("-inf")

    def look() -> tuple[bytes, Overview]:
        seen = overview(store, leases)
        return _text(Gauges(seen, lifetimes, read_stops(store))), seen

    def count(seen: Overview) -> bytes:
        return _text(BudgetGauges(read_hold_ups(store, runtime, seen.held.values())))

    @router.get(
        "/metrics",
        summary="Jobs by state and kind, for Prometheus",
        description="The same for every key: totals, no tenants. A key of RYLA_TENANT is shown"
        " what is used of each budget, too.",
        response_class=Response,
        responses={
            200: {"description": "Gauges.", "content": {"text/plain": {}}},
            **problems(400, 401, 403, 429, 503),
        },
    )
    async def metrics(service: Shared, tenant: Tenant, request: Request) -> Response:
        nonlocal text, money, made_at, counted_at
        require_query(request)
        async with one_look:
            if monotonic() - made_at >= FRESH_S:
                begun = monotonic()
                text, seen = await service.threads.run(look)
                made_at = begun
                if runtime.budgets.budgets and begun - counted_at >= COUNTED_S:
                    money, counted_at = await service.threads.run(count, seen), begun
        body = text + money if tenant == runtime.settings.tenant else text
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    return router
