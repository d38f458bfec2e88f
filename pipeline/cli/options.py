"""What several commands take, and the settings that they run with.

Settings are RYLA_* variables over the file `stack.json` that a running `ryla up` keeps in the state
folder, over defaults. The file is one JSON object, fields of `Settings` to values. It counts only
where the environment names no bucket: half of one bucket and half of another would be a third.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from config.errors import InvalidSetting
from config.logs import configure_logs
from config.settings import Settings, load_settings, variable
from pipeline.local.state_folder import STACK_FILE, left_over

BUCKET_FIELDS = (
    "bucket",
    "endpoint_url",
    "region",
    "access_key_id",
    "secret_access_key",
    "addressing_style",
)
"""Of these, one in the environment means that it names the bucket."""

Json = Annotated[
    bool, typer.Option("--json", help="Answer with JSON on stdout; errors are JSON on stderr.")
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        help="Folder of the local stack (RYLA_STATE_DIR, else .ryla). Without RYLA_* bucket"
        " settings, the bucket is that of the `ryla up` that runs there.",
        show_default=False,
    ),
]


def finite(value: float | None) -> float | None:
    """The callback of an option: `nan` lies above no bound, so it would bound nothing. Raises
    BadParameter."""
    if value is None or isfinite(value):
        return value
    raise typer.BadParameter(f"{value} is no amount")


def load_cli_settings(environ: Mapping[str, str], state_dir: Path | None = None) -> Settings:
    """The environment over the local stack over defaults. Raises InvalidSetting."""
    given = {name: value for name, value in environ.items() if value.strip()}
    if state_dir is not None:
        given[variable("state_dir")] = str(state_dir)
    stack = stack_in_use(environ, state_dir)
    return load_settings((_read_stack(stack) if stack else {}) | given)


def names_bucket(environ: Mapping[str, str]) -> bool:
    """Whether any of BUCKET_FIELDS is set in the environment."""
    return any(environ.get(variable(name), "").strip() for name in BUCKET_FIELDS)


def stack_in_use(environ: Mapping[str, str], state_dir: Path | None = None) -> Path | None:
    """The file of the local stack whose bucket is meant, or None."""
    default: Path = Settings.model_fields["state_dir"].default
    path = (state_dir or Path(environ.get(variable("state_dir")) or default)) / STACK_FILE
    if not path.exists() or names_bucket(environ):
        return None
    with suppress(FileNotFoundError):
        if left_over(path.parent):
            return None
    return path


def _read_stack(path: Path) -> dict[str, str]:
    """The stack's settings as variables."""
    try:
        fields = json.loads(path.read_bytes())
        return {variable(name): str(value) for name, value in fields.items() if value is not None}
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidSetting(
            f"{path} cannot be read: {error}", hint="Remove it, or start `ryla up` again."
        ) from None


def bucket_settings(state_dir: Path | None, *, log_level: str = "warning") -> Settings:
    """Settings of a command that needs the bucket; logs are set up with them.

    `log_level` holds unless RYLA_LOG_LEVEL says otherwise. Raises InvalidSetting, also when no
    bucket is named.
    """
    environ = os.environ
    settings = load_cli_settings(environ, state_dir)
    configure_logs(quieter(settings, environ, log_level))
    if not names_bucket(environ) and stack_in_use(environ, state_dir) is None:
        raise InvalidSetting(
            f"no bucket is named, and no local stack runs in {settings.state_dir.absolute()}",
            field=variable("bucket"),
            hint="Start `ryla up` there, name the folder of one that runs with --state-dir, or set"
            f" {variable('bucket')} and the other bucket settings of docs/settings.md.",
        )
    return settings


def quieter(settings: Settings, environ: Mapping[str, str], log_level: str) -> Settings:
    """The settings with `log_level`, unless the environment sets one."""
    if environ.get(variable("log_level")):
        return settings
    return settings.model_copy(update={"log_level": log_level})
