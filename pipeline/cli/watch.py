"""`ryla watch`: jobs as they run."""

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from pipeline.cli import output
from pipeline.cli.follow import LOOK_SECONDS, follow, live_table, rows_of, tell_errors
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.status import job_document, require_known
from pipeline.cli.wait_notes import WaitNotes
from pipeline.contract.keys import check_id
from pipeline.jobs.follow import Follower
from pipeline.jobs.status import JobView, LeaseWatch, look_up
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Watch the named jobs until all are finished, or everything in progress until Ctrl-C.

Costs one LIST a second, and a GET for each lease that changed. With --json each change of a job is
a line of JSON.

Examples:

    ryla watch portrait-1 portrait-2

    ryla watch --json --for 60
"""


def register(app: typer.Typer) -> None:
    @app.command("watch", help=HELP)
    @output.command
    def command(
        ids: Annotated[
            list[str] | None, typer.Argument(metavar="[ID…]", help="Jobs; none watches all.")
        ] = None,
        for_s: Annotated[
            float | None,
            typer.Option("--for", metavar="SECONDS", min=0, help="End after this time."),
        ] = None,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        settings = bucket_settings(state_dir)
        store = open_store(settings)
        until = None if for_s is None else time.monotonic() + for_s
        notes = None if json else WaitNotes.of(store, settings)
        if ids:
            _watch_named(store, ids, until, notes)
        else:
            _watch_all(store, until, notes)


def _watch_named(
    store: SafeStore, ids: list[str], until: float | None, notes: WaitNotes | None
) -> None:
    as_json = notes is None
    views = look_up(store, [check_id(id) for id in ids])
    require_known(views.values())
    follower = Follower(store, list(views))
    follower.views = views
    say = _changes()
    follow(
        follower,
        until=until,
        quiet=as_json,
        on_look=lambda: say(follower.views) if as_json else None,
        notes=notes,
    )
    if not as_json:
        output.out().print(rows_of(follower.views.values()))
        tell_errors(follower.views.values())
    if not follower.done:
        raise typer.Exit(1)


def _watch_all(store: SafeStore, until: float | None, notes: WaitNotes | None) -> None:
    watch, say = LeaseWatch(store), _changes()
    with live_table(quiet=notes is None) as live:
        while True:
            views = watch.look()
            live(views.values())
            if notes is None:
                say(views)
            else:
                notes.tell(views.values())
            if until is not None and time.monotonic() + LOOK_SECONDS > until:
                break
            time.sleep(LOOK_SECONDS)
    if notes is not None:
        output.out().print(rows_of(views.values()))


def _changes() -> Callable[[dict[str, JobView]], None]:
    """Prints a line for each job that is not as it was at the last call."""
    last: dict[str, dict[str, Any]] = {}

    def say(views: dict[str, JobView]) -> None:
        for id, view in views.items():
            document = job_document(view) | {"since": None}
            if last.get(id) != document:
                last[id] = document
                output.print_json(job_document(view), line=True)

    return say
