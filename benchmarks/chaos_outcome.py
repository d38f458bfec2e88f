"""What came out of a chaos run, held against what was sent."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.chaos_plan import Form, Intent, Plan
from benchmarks.setting import machine, title
from events.stored_event import StoredEvent
from pipeline.contract.keys import INBOX, LEASES, REJECTED, result_key
from pipeline.contract.result import Result, Status
from pipeline.store.conditional import SafeStore, listed

ENDS = ("_generation_completed", "_generation_failed", "_generation_cancelled")
INTENDED = {
    Intent.SUCCEEDS: Status.SUCCEEDED,
    Intent.RETRIED: Status.SUCCEEDED,
    Intent.FAILS: Status.FAILED,
    Intent.REFUSED: Status.REJECTED,
}


@dataclass
class Sent:
    """What really went out; the store may refuse an entry that waits already."""

    stored: dict[Form, list[str]] = field(default_factory=lambda: {form: [] for form in Form})
    """By form, the ids, or keys of malformed ones, whose entries were stored."""
    cancels: dict[str, list[str]] = field(default_factory=dict)
    """Answer → ids."""


@dataclass(frozen=True)
class Outcome:
    seed: int
    jobs: int
    seconds: float
    """From the first sending until nothing waited and nobody held a job."""
    quiet_after_s: float
    """Of those, after the last blow."""
    stored: Mapping[str, int]
    cancels: Mapping[str, int]
    blows: Mapping[str, int]
    ended_by_themselves: Mapping[str, int]
    """Last log lines of dispatchers that nobody had ended."""
    results: Mapping[str, int]
    errors: Mapping[str, int]
    """By code, of jobs that were to succeed and did not."""
    executions: int
    """The sum of all attempt numbers."""
    lost: Sequence[str]
    """Ids without a result."""
    stuck: Sequence[str]
    """What is left in inbox/ and leases/."""
    doubled: Sequence[str]
    """Ends that were told and stand in no result."""
    cancels_ignored: Sequence[str]
    """Cancelled by the answer, and not by the result."""
    unfiled: Sequence[str]
    """Conflicting and malformed entries that are neither in inbox/ nor in rejected/."""
    events: int
    """In results."""
    undelivered: int
    """Of those, not taken by PostHog."""
    ends_repeated: int
    """Of those, ends that PostHog took more than once, under the same uuid."""
    rejections: int
    """Events in rejected/, of which so many were delivered:"""
    rejections_delivered: int
    audit: Mapping[str, Any]

    @property
    def broken(self) -> list[str]:
        """Promises that did not hold."""
        counts = {
            "lost": len(self.lost),
            "stuck": len(self.stuck),
            "doubled": len(self.doubled),
            "cancels ignored": len(self.cancels_ignored),
            "unfiled": len(self.unfiled),
            "events undelivered": self.undelivered,
            "faults in the audit": sum(self.audit["faults"].values()),
        }
        return [f"{count} {name}" for name, count in counts.items() if count]

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "broken": self.broken}


def outcome_of(
    plan: Plan,
    sent: Sent,
    store: SafeStore,
    deliveries: Counter[str],
    named: Mapping[str, str],
    audit: Mapping[str, Any],
    **run: Any,
) -> Outcome:
    """`deliveries` counts by uuid how often PostHog took an event, `named` has their names; `run`
    are the fields that only the run knows."""
    results = {id: result for id in plan.intents if (result := _result(store, id)) is not None}
    records = _rejected(store)
    events = {event.uuid for result in results.values() for event in result.events}
    rejections = {uuid for record in records for uuid in _uuids(record)}
    return Outcome(
        seed=plan.seed,
        jobs=len(plan.intents),
        stored={form.value: len(ids) for form, ids in sent.stored.items()},
        cancels={answer: len(ids) for answer, ids in sent.cancels.items()},
        results=Counter(result.status.value for result in results.values()),
        errors=_errors(plan, sent, results),
        executions=sum(result.attempt for result in results.values()),
        lost=sorted(plan.intents.keys() - results.keys()),
        stuck=[entry.key for prefix in (INBOX, LEASES) for entry in listed(store, prefix)],
        doubled=sorted(
            uuid for uuid in deliveries.keys() - events - rejections if named[uuid].endswith(ENDS)
        ),
        cancels_ignored=[
            id
            for id in sent.cancels.get("cancelled", ())
            if id in results and results[id].status is not Status.CANCELLED
        ],
        unfiled=_unfiled(sent, records),
        events=len(events),
        undelivered=len(events - deliveries.keys()),
        ends_repeated=sum(
            deliveries[uuid] > 1 and named[uuid].endswith(ENDS) for uuid in events & named.keys()
        ),
        rejections=len(rejections),
        rejections_delivered=len(rejections & deliveries.keys()),
        audit=audit,
        **run,
    )


def _result(store: SafeStore, id: str) -> Result | None:
    stored = store.get(result_key(id))
    return None if stored is None else Result.parse(stored.body)


def _rejected(store: SafeStore) -> list[dict[str, Any]]:
    stored = [store.get(entry.key) for entry in listed(store, REJECTED)]
    return [json.loads(each.body) for each in stored if each is not None]


def _uuids(record: Mapping[str, Any]) -> Iterable[str]:
    return (StoredEvent.model_validate(event).uuid for event in record["events"])


def _unfiled(sent: Sent, records: Collection[Mapping[str, Any]]) -> list[str]:
    keys = {record["key"] for record in records}
    conflicts = {record["error"].get("value") for record in records}
    malformed = set(sent.stored[Form.MALFORMED]) - keys
    return sorted(malformed | (set(sent.stored[Form.CONFLICT]) - conflicts))


def _errors(plan: Plan, sent: Sent, results: Mapping[str, Result]) -> Counter[str]:
    """Of jobs that ended otherwise than intended, with nobody having cancelled or contradicted."""
    aside = {*sent.stored[Form.CONFLICT]}
    found = Counter[str]()
    for id, result in results.items():
        expected = INTENDED[plan.intents[id]]
        if id in aside or result.status in (expected, Status.CANCELLED):
            continue
        code = result.error.code if result.error else "no error"
        found[f"{plan.intents[id]}: {result.status}, {code}"] += 1
    return found


def show(outcome: Outcome) -> None:
    title(f"Chaos: {outcome.jobs} jobs, seed {outcome.seed} ({machine()})")
    audit = outcome.audit
    rows = {
        "stored": _counts(outcome.stored),
        "cancels": _counts(outcome.cancels),
        "blows": f"{sum(outcome.blows.values())}: {_counts(outcome.blows)}",
        "ended by themselves": _counts(outcome.ended_by_themselves),
        "results": _counts(outcome.results),
        "not as intended": _counts(outcome.errors),
        "executions": f"{outcome.executions}",
        "events": f"{outcome.events} in results, {outcome.undelivered} undelivered,"
        f" {outcome.ends_repeated} ends taken more than once",
        "rejected/": f"{outcome.rejections}, {outcome.rejections_delivered} of their events taken",
        "time": f"{outcome.seconds:.0f} s, {outcome.quiet_after_s:.0f} of them after the last blow",
        "audit": f"{audit['objects']} objects, {audit['jobs']} jobs, waste"
        f" {audit['waste']['objects']} objects, {_counts(audit['faults'])} faults",
    }
    for name, text in rows.items():
        print(f"{name:20} {text}")
    for name in ("lost", "stuck", "doubled", "cancels_ignored", "unfiled"):
        found = getattr(outcome, name)
        print(f"{name.replace('_', ' '):20} {len(found)} {' '.join(found[:10])}")
    for fault in audit["named"][:20]:
        print(f"fault                {fault['kind']} {fault['key']}: {fault['found']}")
    print(f"goal: every promise held: {'MISSED: ' if outcome.broken else 'met'}", end="")
    print(", ".join(outcome.broken))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "0"
