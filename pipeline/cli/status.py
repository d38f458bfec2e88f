"""`ryla status`: what waits, what runs, where a job is."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from config.errors import UnknownJob
from pipeline.cli import output
from pipeline.cli.follow import progress, rows_of
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.stops_table import print_stops, stop_document
from pipeline.cli.wait_notes import WaitNotes
from pipeline.contract.keys import check_id
from pipeline.jobs.hold_ups import HoldUps, read_hold_ups
from pipeline.jobs.status import JobView, Overview, State, look_up, overview
from pipeline.runtime import load_runtime
from pipeline.store.open import open_store

HELP = """Show all that waits or is in progress, or where the named jobs are.

Examples:

    ryla status

    ryla status portrait-1 portrait-2 --json
"""


def register(app: typer.Typer) -> None:
    @app.command("status", help=HELP)
    @output.command
    def command(
        ids: Annotated[
            list[str] | None, typer.Argument(metavar="[ID…]", help="Jobs; none shows all.")
        ] = None,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        settings = bucket_settings(state_dir)
        store = open_store(settings)
        if not ids:
            seen, runtime = overview(store), load_runtime(settings, settings.engine)
            hold_ups = read_hold_ups(store, runtime, seen.held.values())
            if json:
                output.print_json(_overview_document(seen) | _hold_ups_document(hold_ups))
            else:
                _print_overview(seen)
                _print_hold_ups(hold_ups)
            return
        views = list(look_up(store, [check_id(id) for id in ids]).values())
        if json:
            output.print_json({"jobs": [job_document(view) for view in views]})
        else:
            output.out().print(rows_of(views))
            WaitNotes.of(store, settings).tell(views)
        require_known(views)


def require_known(views: Iterable[JobView]) -> None:
    """Raises UnknownJob."""
    unknown = ", ".join(view.id for view in views if view.state is State.UNKNOWN)
    if unknown:
        raise UnknownJob(f"no job has the id {unknown}", field="id", value=unknown)


def job_document(view: JobView) -> dict[str, Any]:
    lease, result = view.lease, view.result
    document: dict[str, Any] = {"id": view.id, "state": view.state, "since": view.since}
    if lease is not None:
        document |= {
            "model": lease.model,
            "tenant": lease.tenant,
            "attempt": lease.attempt,
            "owner": lease.owner,
            "progress": lease.progress.model_dump() if lease.progress else None,
            "not_before": lease.not_before,
            "error": lease.error.model_dump(exclude_none=True) if lease.error else None,
        }
    if result is not None:
        document |= {
            "model": result.model,
            "tenant": result.tenant,
            "attempt": result.attempt,
            "status": result.status,
            "error": result.error.model_dump(exclude_none=True) if result.error else None,
            "outputs": [each.key for each in result.outputs],
        }
    return document


def _overview_document(seen: Overview) -> dict[str, Any]:
    return {
        "now": seen.now,
        "waiting": [
            {
                "priority": group.priority,
                "tenant": group.tenant,
                "model": group.model,
                "count": there.count,
                "oldest": there.oldest,
            }
            for group, there in seen.waiting.items()
        ],
        "jobs": [job_document(view) for view in seen.held.values()],
        "strangers": seen.invalid_entries,
        "rejected": seen.rejected,
        "rejected_more": seen.rejected_more,
    }


def _hold_ups_document(hold_ups: HoldUps) -> dict[str, Any]:
    return {
        "stops": [stop_document(stop) for stop in hold_ups.stops],
        "budgets": [
            {
                "budget": use.account.row,
                "tenant": use.account.tenant,
                "usd": use.budget.usd,
                "spent_usd": use.spent_usd,
                "used_usd": use.used_usd,
                "on_exceeded": use.budget.on_exceeded,
                "waited_for": use.waited_for,
            }
            for use in hold_ups.budgets
        ],
    }


def _print_hold_ups(hold_ups: HoldUps) -> None:
    if hold_ups.stops:
        print_stops(hold_ups.stops)
    rows = [
        (
            use.account,
            output.usd(use.spent_usd),
            output.usd(use.used_usd),
            output.usd(use.budget.usd),
            f"{use.share:.0%}",
            f"jobs {use.budget.on_exceeded}" if use.waited_for else None,
        )
        for use in hold_ups.budgets
    ]
    if rows:
        columns = ("=budget", ">spent", ">with reserved", ">of", ">share", "")
        output.out().print(output.table("Budgets", columns, rows))


def _print_overview(seen: Overview) -> None:
    console = output.out()
    groups = [
        (group.priority, group.tenant, group.model, there.count, output.age(there.oldest, seen.now))
        for group, there in seen.waiting.items()
    ]
    count = sum(there.count for there in seen.waiting.values())
    console.print(
        output.table(
            f"Waiting: {count}", (">priority", "tenant", "kind", ">jobs", ">oldest"), groups
        )
    )
    held = sorted(seen.held.values(), key=lambda view: (view.state, view.id))
    rows = [_held_row(view, seen) for view in held]
    columns = ("=job", "kind", "tenant", "state", ">attempt", ">since", "at")
    console.print(output.table(f"In progress: {len(held)}", columns, rows))
    more = "+" if seen.rejected_more else ""
    console.print(f"Rejected entries: {seen.rejected}{more}")
    if seen.invalid_entries:
        console.print(f"Inbox entries that name no job: {seen.invalid_entries}")


def _held_row(view: JobView, seen: Overview) -> tuple[Any, ...]:
    since, lease = output.age(view.since, seen.now), view.lease
    if lease is None:
        return (view.id, None, None, "unreadable", None, since, None)
    at = progress(view)
    if lease.not_before is not None:
        at = f"due in {output.span(lease.not_before - seen.now)} {at}"
    return (view.id, lease.model, lease.tenant, view.state, lease.attempt, since, at)
