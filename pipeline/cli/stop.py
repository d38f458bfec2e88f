"""`ryla stop`: the operator's brake."""

import getpass
import os
import socket
from typing import Annotated

import typer

from config.errors import InvalidSetting
from handlers.kinds.registry import KINDS
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.stops_table import print_stops, stop_document
from pipeline.contract.keys import NAME_PATTERN, is_name
from pipeline.contract.stops import MAX_REASON, ScopeKind, StopNote, StopScope
from pipeline.queue.stops import lift_stop, put_stop, standing_stops
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Stop all jobs, those of a tenant or those of a kind, and lift that again; without a scope,
show what is stopped.

Stopped jobs are taken in and wait: none is claimed or started. One that runs is interrupted at its
next renewal of the lease (at most RYLA_RENEW_SECONDS later) and handed back, which counts as no
failure; a character sheet is handed back after its step, and keeps what it has. Results, events and
callbacks of finished jobs still go out.

Examples:

    ryla stop --all --reason "the bill looks wrong"

    ryla stop --tenant acme

    ryla stop --lift --all
"""


def register(app: typer.Typer) -> None:
    @app.command("stop", help=HELP)
    @output.command
    def command(
        everything: Annotated[bool, typer.Option("--all", help="Every job.")] = False,
        tenant: Annotated[
            str | None, typer.Option("--tenant", metavar="TENANT", help="The jobs of a tenant.")
        ] = None,
        kind: Annotated[
            str | None, typer.Option("--kind", metavar="KIND", help="The jobs of a kind.")
        ] = None,
        lift: Annotated[bool, typer.Option("--lift", help="Lift that stop.")] = False,
        reason: Annotated[
            str | None, typer.Option("--reason", metavar="TEXT", help="Why, for people.")
        ] = None,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        scope = _scope(everything, tenant, kind, lift=lift)
        if scope is None and (lift or reason is not None):
            raise typer.BadParameter("say what: --all, --tenant TENANT or --kind KIND")
        store = open_store(bucket_settings(state_dir))
        if scope is not None and lift:
            _lift(store, scope)
        elif scope is not None:
            put_stop(store, scope, _note(store, reason))
        standing = list(standing_stops(store))
        if json:
            output.print_json({"stops": [stop_document(stop) for stop in standing]})
        else:
            print_stops(standing)


def _scope(
    everything: bool, tenant: str | None, kind: str | None, *, lift: bool
) -> StopScope | None:
    if everything + (tenant is not None) + (kind is not None) > 1:
        raise typer.BadParameter("one of --all, --tenant and --kind at a time")
    if tenant is not None:
        if not is_name(tenant):
            raise typer.BadParameter(f"a tenant matches {NAME_PATTERN}", param_hint="--tenant")
        return StopScope(ScopeKind.TENANT, tenant)
    if kind is not None:
        if kind not in KINDS and not (lift and is_name(kind)):  # one of an earlier version
            raise typer.BadParameter(f"a kind is one of {', '.join(KINDS)}", param_hint="--kind")
        return StopScope(ScopeKind.KIND, kind)
    return StopScope(ScopeKind.ALL) if everything else None


def _note(store: SafeStore, reason: str | None) -> StopNote:
    by = f"{_user()}@{socket.gethostname()}"
    # A byte that is no UTF-8 comes as half a character, which could not be read again.
    said = reason and reason[:MAX_REASON].encode(errors="replace").decode()
    return StopNote(reason=said, by=by, at=store.now())


def _user() -> str:
    """The number of one without a name, as a container may have: the brake has to work there."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the first before Python 3.13
        return str(os.getuid())


def _lift(store: SafeStore, scope: StopScope) -> None:
    """Raises InvalidSetting where it did not stand."""
    if not lift_stop(store, scope):
        raise InvalidSetting(
            f"{scope} is not stopped", field="scope", hint="`ryla stop` shows the stops."
        )
