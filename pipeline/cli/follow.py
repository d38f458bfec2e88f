"""Live view of jobs on their way, for `watch` and `submit --wait`."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.live import Live
from rich.table import Table

from pipeline.cli import output
from pipeline.cli.wait_notes import WaitNotes
from pipeline.jobs.follow import Follower
from pipeline.jobs.status import JobView

LOOK_SECONDS = 1.0


def follow(
    follower: Follower,
    *,
    until: float | None = None,
    quiet: bool = False,
    on_look: Callable[[], None] = lambda: None,
    notes: WaitNotes | None = None,
) -> None:
    """Look once a second until all are finished, or until `until` on the monotonic clock.

    Shows a table that updates itself where there is a terminal; `quiet` shows nothing. `notes` says
    why jobs wait.
    """
    with live_table(quiet=quiet) as live:
        while True:
            follower.look()
            on_look()
            live(follower.views.values())
            if notes is not None:
                notes.tell(follower.views.values())
            if follower.done or (until is not None and time.monotonic() + LOOK_SECONDS > until):
                return
            time.sleep(LOOK_SECONDS)


@contextmanager
def live_table(*, quiet: bool) -> Iterator[Callable[[Iterable[JobView]], None]]:
    """Gives what shows these jobs in place of those before. Shows nothing without a terminal."""
    console = output.err()
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield lambda views: live.update(rows_of(views), refresh=True)


def rows_of(views: Iterable[JobView]) -> Table:
    return output.table(
        None, ("=job", "kind", "=state", "progress", "=>seconds", "=>cost"), map(row, views)
    )


def tell_errors(views: Iterable[JobView]) -> None:
    """On stderr why each of them failed or was refused, and what to do about it."""
    for view in views:
        if view.result is not None and view.result.error is not None:
            output.print_info(view.result.error, view.id)


def row(view: JobView) -> tuple[Any, ...]:
    if view.result is not None:
        result = view.result
        seconds = result.metrics.total if result.metrics else None
        count = len(result.outputs)
        note = f"{count} output{'s'[: count != 1]}" if count else ""
        if result.missing:
            note = f"{count} of {count + len(result.missing)} views"
        note = result.error.code if result.error else note
        cost = output.usd(result.cost.total_usd if result.cost else None)
        return (view.id, result.model, result.status, note, output.span(seconds), cost)
    lease = view.lease
    if lease is None:
        return (view.id, None, view.state, None, None, None)
    return (view.id, lease.model, view.state, progress(view), None, None)


def progress(view: JobView) -> str:
    """What a job in progress is at: its step, or why it waits for its next attempt."""
    lease = view.lease
    if lease is None:
        return ""
    if lease.progress is not None:
        step = f" {lease.progress.step}" if lease.progress.step else ""
        if lease.progress.views:
            step = f" {views_told(lease.progress.views)}"
        return f"{output.bar(lease.progress.fraction)}{step}"
    return f"after {lease.error.code}" if lease.error else ""


def views_told(views: Mapping[str, str]) -> str:
    """How far the views of a sheet are, such as `3 made, 1 again, 6 waiting`."""
    counts = Counter(views.values())
    order = ("made", "missing", "again", "composed", "waiting")
    known = [*(state for state in order if state in counts), *sorted(counts.keys() - {*order})]
    return ", ".join(f"{counts[state]} {state}" for state in known)
