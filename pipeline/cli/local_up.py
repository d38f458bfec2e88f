"""What `ryla up` shows: where everything is, then one line that follows the ticks."""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from pipeline.cli import output
from pipeline.cli.serve import who_may_ask
from pipeline.dispatcher.tick import TickReport
from pipeline.local.stack import STACK_FILE, LocalStack

LOOK_SECONDS = 0.25


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


def announce(
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
    where = "" if stack.folder == default else f" --state-dir {stack.folder}"
    engine = settings.comfyui_url or settings.comfyui_dir or "stand-in, no real pictures"
    lines = (
        ("bucket", f"{settings.bucket} at {settings.endpoint_url}"),
        ("state", str(stack.folder)),
        ("ComfyUI", str(engine)),
        *((("API", f"{api}/docs"), ("open to", who_may_ask(settings))) if api else ()),
        ("log", str(log)),
        ("submit", f"ryla submit examples/manifests --keep-going --wait 60{where}"),
        ("watch", f"ryla watch{where}"),
    )
    for name, value in lines:
        output.out().print(f"[dim]{name:8}[/] {escape(value)}", soft_wrap=True)


def _url(listener: socket.socket) -> str:
    from pipeline.api.server import url_of  # noqa: PLC0415  of an extra that not all install

    return url_of(listener)


def serve(stack: LocalStack, totals: Totals, *, quiet: bool) -> None:
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
