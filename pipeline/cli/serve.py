"""`ryla serve`: the HTTP API alone."""

import os
from typing import Annotated

import typer

from config.errors import InvalidSetting
from config.settings import Settings, changed
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.signals import ends_on_signals
from pipeline.runtime import load_runtime
from pipeline.store.open import open_checked_store

HELP = """Serve the HTTP API over the bucket, until Ctrl-C.

Jobs that are posted lie in the bucket's inbox: a dispatcher elsewhere takes them (`ryla dispatch`,
or the deployed one). `ryla up` serves the same API beside its own dispatcher.

Without RYLA_API_KEYS only this machine may ask; `ryla keys new` makes a key.

Examples:

    ryla serve

    ryla serve --host 0.0.0.0 --port 8080
"""
Host = Annotated[
    str | None, typer.Option("--host", help="RYLA_API_HOST, else 127.0.0.1.", show_default=False)
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65_535,
        help="RYLA_API_PORT, else 8787; 0 takes a free one.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    @app.command("serve", help=HELP)
    @output.command
    def command(
        host: Host = None, port: Port = None, state_dir: StateDir = None, json: Json = False
    ) -> None:
        settings = addressed(bucket_settings(state_dir, log_level="info"), host, port)
        require_api()
        from pipeline.api import server
        from pipeline.api.concurrency import STORE_CALLS
        from pipeline.api.dependencies import ApiDependencies

        listener = server.listen(settings.api_host, settings.api_port)
        dependencies = ApiDependencies(
            load_runtime(settings, settings.engine), open_checked_store(settings, STORE_CALLS)
        )
        with ends_on_signals():
            try:
                _announce(server.url_of(listener), settings, as_json=json)
                server.serve(dependencies, listener)
            except KeyboardInterrupt:
                pass
        if json:
            output.print_json({"state": "stopped"})


def addressed(settings: Settings, host: str | None, port: int | None) -> Settings:
    given = {"api_host": host, "api_port": port}
    return changed(settings, **{name: each for name, each in given.items() if each is not None})


def require_api() -> None:
    """Raises InvalidSetting where the extra `api` is not installed."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InvalidSetting(
            f"the HTTP API needs what is not installed: {error.name}",
            hint="Install the extra `api`: pip install 'ryla-pipeline[api]'",
        ) from None


def who_may_ask(settings: Settings) -> str:
    if settings.api_keys is None:
        return f"this machine alone, as tenant {settings.tenant}: RYLA_API_KEYS is not set"
    return "whoever has a key of RYLA_API_KEYS"


def _announce(url: str, settings: Settings, *, as_json: bool) -> None:
    if as_json:
        keyed = settings.api_keys is not None
        output.print_json(
            {"state": "running", "url": url, "keys_needed": keyed, "pid": os.getpid()}, line=True
        )
        return
    output.print_text(f"API     {url}/docs")
    output.print_text(f"bucket  {settings.bucket} at {settings.endpoint_url or 'AWS'}")
    output.print_text(f"open to {who_may_ask(settings)}")
