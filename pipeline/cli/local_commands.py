"""`ryla demo` and `ryla up`: the whole pipeline on this machine."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from config.logs import configure_logs
from config.settings import Settings, load_settings
from config.tables import load_gpus, load_routes
from pipeline.cli import output
from pipeline.cli.local_demo import JobBars, print_demo
from pipeline.cli.local_up import Totals, announce, serve
from pipeline.cli.options import Json, quieter
from pipeline.cli.serve import Host, Port, addressed, require_api
from pipeline.cli.signals import ends_on_signals
from pipeline.local.demo.checks import check_run
from pipeline.local.demo.demo import DemoRun, prepare, run_demo
from pipeline.local.demo.manifests import EXAMPLES, Example, load_examples
from pipeline.local.demo.report import Report, make_report, write_report
from pipeline.local.stack import LocalStack, changed

DEMO_HELP = """Run example manifests through the whole pipeline on this machine, and check the end.

An embedded store, the dispatcher and a worker are started, with a stand-in for ComfyUI unless
RYLA_COMFYUI_DIR or RYLA_COMFYUI_URL names a real one. The exit code is 0 only if every job ended as
its manifest expects.
"""
UP_HELP = """Run store, dispatcher, workers and the HTTP API here until Ctrl-C.

The bucket and all else that it keeps lie in the state folder, and are there again at the next
start. While it runs, other `ryla` commands use its bucket.
"""


def register(app: typer.Typer) -> None:
    @app.command("demo", help=DEMO_HELP)
    @output.command
    def demo(
        out: Annotated[
            Path, typer.Option("--out", metavar="DIR", help="Where everything is put.")
        ] = Path("out/demo"),
        manifests: Annotated[
            Path,
            typer.Option(
                "--manifests",
                metavar="DIR",
                help="Others than the examples.",
                show_default="examples/manifests",
            ),
        ] = EXAMPLES,
        keep: Annotated[
            bool, typer.Option("--keep", help="Keep the store and the workers' folders.")
        ] = False,
        json: Json = False,
    ) -> None:
        with ends_on_signals():
            _demo(out, load_examples(manifests), keep=keep, as_json=json)

    @app.command("up", help=UP_HELP)
    @output.command
    def up(
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
        settings = addressed(load_settings(os.environ), host, port)
        folder = state_dir or settings.state_dir
        if workers is not None:
            settings = changed(settings, local_workers=workers)
        with ends_on_signals():
            _up(folder, settings, _listener(settings) if http else None, as_json=json)


@contextmanager
def _logs_in(file: Path, settings: Settings) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a", buffering=1) as log:
        configure_logs(settings, log)
        try:
            yield
        finally:
            configure_logs(settings)


def _demo(out: Path, examples: list[Example], *, keep: bool, as_json: bool) -> None:
    settings = load_settings(os.environ)
    prepare(out)
    with _logs_in(out / "demo.log", settings), JobBars(examples, shown=not as_json) as bars:
        run = run_demo(out, examples, settings, os.environ, bars.show)
    report = _report(run, settings)
    page = write_report(report)
    if report.ok and not keep:
        shutil.rmtree(out / "state")
    if as_json:
        output.print_json(report.document())
    else:
        print_demo(report, page)
    if not report.ok:
        raise typer.Exit(1)


def _report(run: DemoRun, settings: Settings) -> Report:
    gpus = load_gpus(settings.gpus_file)
    routes = load_routes(settings.routes_file, gpus=gpus)
    return make_report(run, check_run(run), gpus, routes, datetime.now(UTC))


def _listener(settings: Settings) -> socket.socket:
    require_api()
    from pipeline.api.server import listen  # noqa: PLC0415  half a second, where it is served

    return listen(settings.api_host, settings.api_port)


def _up(folder: Path, settings: Settings, listener: socket.socket | None, *, as_json: bool) -> None:
    totals, log = Totals(), folder / "up.log"
    with (
        _logs_in(log, quieter(settings, os.environ, "info")),
        closing(listener) if listener else nullcontext(),
        LocalStack(folder, settings, os.environ, on_tick=totals.add, listener=listener) as stack,
    ):
        try:
            announce(stack, log, listener, as_json=as_json)
            serve(stack, totals, quiet=as_json)
        except KeyboardInterrupt:
            if not as_json:
                output.out().print("Stopping. Running jobs are handed back, and go on next time.")
    if as_json:
        output.print_json({"state": "stopped"})
