"""Which jobs are forgotten, given what all jobs' manifests say. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.erasure.trace import JobTrace

AT_ONCE = 10_000
"""Old jobs that are taken together; those behind them come after them."""


@dataclass(frozen=True)
class Wish:
    """What is to be forgotten: a person, a job, or what ended long ago. One of the three."""

    tenant: str | None = None
    """Whose jobs. None is everybody's, but for a subject."""
    subject: str | None = None
    job: str | None = None
    ended_before: datetime | None = None
    """By the store's clock."""


@dataclass(frozen=True)
class ChosenJob:
    id: str
    why: str
    """In words, such as `reuses views of ann`."""


def chosen_jobs(
    traces: Mapping[str, JobTrace], wish: Wish, old: Collection[str] = ()
) -> list[ChosenJob]:
    """With all that was made of them, each behind what it was made of.

    `old` are those that ended long enough ago. A job that a younger one reuses is left until that
    is old too: a retention takes nothing away from what is kept.
    """
    if wish.ended_before is not None:
        return [ChosenJob(id, "old enough") for id in sorted(_unneeded(traces, {*old}))[:AT_ONCE]]
    found = {
        id: ChosenJob(id, "asked for" if wish.job else f"shows {wish.subject}")
        for id in ([wish.job] if wish.job else sorted(_showing(traces, wish)))
    }
    tenants = {wish.tenant, *(traces[id].tenant for id in found if id in traces)} - {None}
    others = {id: traces.get(id) for id in found}
    added = True
    while added:
        added = False
        for id in sorted(traces.keys() - found.keys()):
            source = traces[id].made_of(others) if traces[id].tenant in tenants else None
            if source is not None:
                found[id], others[id] = ChosenJob(id, f"made of {source}"), traces[id]
                added = True
    return [*found.values()]


def _showing(traces: Mapping[str, JobTrace], wish: Wish) -> set[str]:
    return {
        id
        for id, trace in traces.items()
        if trace.tenant == wish.tenant and wish.subject in trace.subjects
    }


def _unneeded(traces: Mapping[str, JobTrace], old: set[str]) -> set[str]:
    while True:
        kept = {trace.reuses for id, trace in traces.items() if id not in old}
        if not kept & old:
            return old
        old = old - kept  # what those reuse themselves may now be needed


def needed_by(traces: Mapping[str, JobTrace], key: str, ids: Collection[str]) -> list[JobTrace]:
    """The jobs that name a picture, beside `ids`."""
    return [trace for id, trace in traces.items() if id not in ids and key in trace.inputs]
