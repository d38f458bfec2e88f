"""`ryla up`: the whole pipeline on this machine, until Ctrl-C; a line follows the ticks."""

import os
import shlex
import socket
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from config.logs import logs_into
from config.settings import Settings, changed, load_settings
from pipeline.cli import output
from pipeline.cli.options import Json, quieter
from pipeline.cli.serve import Host, Port, addressed, require_api, who_may_ask
from pipeline.cli.signals import ends_on_signals
from pipeline.dispatcher.tick import TickReport
from pipeline.local.stack import LocalStack
from pipeline.local.state_folder import STACK_FILE

HELP = """Run store, dispatcher, workers and the HTTP API here until Ctrl-C.

The bucket and all else that it keeps lie in the state folder, and are there again at the next
start. While it runs, other `ryla` commands use its bucket.

Examples:

    ryla up

    ryla up --workers 2 --port 8080 --state-dir try
"""
LOOK_SECONDS = 0.25
IDLE_SECONDS = 1.0
"""Between ticks when idle, unless RYLA_POLL_IDLE_SECONDS is set: here a LIST costs nothing."""


@dataclass
class Totals:
    """What the ticks of this run have told so far."""

    waiting: int = 0
    more: bool = False
    in_flight: int = 0
    handed_out: int = 0
    refused: int = 0
    misfiled: int = 0

    def add(self, report: TickReport) -> None:
        self.waiting, self.more, self.in_flight = report.waiting, report.more, report.in_flight
        self.handed_out += report.spawned
        self.refused += report.committed
        self.misfiled += report.rejected

    def line(self, workers: int) -> str:
        more = "+" if self.more else ""
        misfiled = f" · [yellow]{self.misfiled} under rejected/[/]" if self.misfiled else ""
        return (
            f"waiting {self.waiting}{more} · in progress {self.in_flight} · workers {workers}"
            f" · begun {self.handed_out} · refused {self.refused}{misfiled}"
        )


def register(app: typer.Typer) -> None:
    @app.command("up", help=HELP)
    @output.command
    def command(
        state_dir: Annotated[
            Path | None,
            typer.Option("--state-dir", metavar="DIR", help="Default: RYLA_STATE_DIR, or .ryla."),
        ] = None,
        workers: Annotated[
            int | None, typer.Option("--workers", min=1, max=64, help="For each route.")
        ] = None,
        http: Annotated[
            bool, typer.Option("--http/--no-http", help="Serve the HTTP API too.")
        ] = True,
        host: Host = None,
        port: Port = None,
        json: Json = False,
    ) -> None:
        settings = quick_to_look(addressed(load_settings(os.environ), host, port))
        folder = state_dir or settings.state_dir
        if workers is not None:
            settings = changed(settings, local_workers=workers)
        with ends_on_signals():
            _up(folder, settings, _listener(settings) if http else None, as_json=json)


def quick_to_look(settings: Settings) -> Settings:
    """A job is picked up at once, where nobody asked for slower polls."""
    if "poll_idle_seconds" in settings.model_fields_set:
        return settings
    return changed(settings, poll_idle_seconds=max(IDLE_SECONDS, settings.poll_active_seconds))


def _listener(settings: Settings) -> socket.socket:
    require_api()
    from pipeline.api.server import listen

    return listen(settings.api_host, settings.api_port)


def _up(folder: Path, settings: Settings, listener: socket.socket | None, *, as_json: bool) -> None:
    totals, log = Totals(), folder / "up.log"
    with (
        logs_into(log, quieter(settings, os.environ, "info")),
        closing(listener) if listener else nullcontext(),
        LocalStack(folder, settings, os.environ, on_tick=totals.add, listener=listener) as stack,
    ):
        try:
            _announce(stack, log, listener, as_json=as_json)
            _follow(stack, totals, quiet=as_json)
        except KeyboardInterrupt:
            if not as_json:
                output.out().print("Stopping. Running jobs are handed back, and go on next time.")
    if as_json:
        output.print_json({"state": "stopped"})


def _announce(
    stack: LocalStack, log: Path, listener: socket.socket | None, *, as_json: bool
) -> None:
    settings = stack.settings
    api = None if listener is None else _url(listener)
    if as_json:
        output.print_json(
            {
                "state": "running",
                "endpoint_url": settings.endpoint_url,
                "bucket": settings.bucket,
                "api_url": api,
                "stack_file": str(stack.folder / STACK_FILE),
                "log": str(log),
                "pid": os.getpid(),
            }
        )
        return
    default = Path(".ryla").absolute()
    where = "" if stack.folder == default else f" --state-dir {shlex.quote(str(stack.folder))}"
    engine = settings.comfyui_url or settings.comfyui_dir or "stand-in, no real pictures"
    lines = (
        ("bucket", f"{settings.bucket} at {settings.endpoint_url}"),
        ("state", str(stack.folder)),
        ("ComfyUI", str(engine)),
        *((("API", f"{api}/docs"), ("open to", who_may_ask(settings))) if api else ()),
        *(("beware", f"{each.message}. {each.hint}") for each in stack.misfits),
        ("log", str(log)),
        ("submit", f"ryla submit examples/manifests --keep-going --wait 60{where}"),
        ("watch", f"ryla watch{where}"),
    )
    for name, value in lines:
        output.out().print(f"[dim]{name:8}[/] {escape(value)}", soft_wrap=True)


def _url(listener: socket.socket) -> str:
    from pipeline.api.server import url_of

    return url_of(listener)


def _follow(stack: LocalStack, totals: Totals, *, quiet: bool) -> None:
    """Until a signal raises KeyboardInterrupt, or check() what broke."""
    console = output.out()
    silent = quiet or not console.is_terminal
    with console.status("starting") if not silent else _Silent() as line:
        while True:
            stack.check()
            line.update(totals.line(len(stack.engine.pids())))
            time.sleep(LOOK_SECONDS)


class _Silent:
    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, line: str) -> None:
        pass
