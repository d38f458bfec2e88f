"""How commands answer: tables for people, JSON for programs, errors without tracebacks."""

import errno
import json as jsonlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import structlog
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from config.errors import BadManifest, InvalidInput, RylaError, StoreUnavailable
from config.settings import variable
from pipeline.cli.options import stack_in_use
from pipeline.contract.error_info import ErrorInfo, full_info, unforeseen

P = ParamSpec("P")
FULL = (errno.ENOSPC, errno.EDQUOT)
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

COLOURS = {
    "succeeded": "green",
    "partial": "yellow",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
    "forgotten": "yellow",
    "running": "cyan",
    "retry": "yellow",
    "unknown": "red",
    "error": "red",
    "ok": "green",
    "warning": "yellow",
    "met": "green",
    "missed": "red",
    "pass": "green",
    "fail": "red",
    "not run": "yellow",
    "no evidence": "yellow",
}


_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that steer a terminal, turn its text around, or are none."""
EMPTY = '""'
"""How a value without characters is shown."""
PIPED_COLUMNS = 200
"""Width of what no terminal shows: ids and keys stay on their line."""


def out() -> Console:
    return _console(stderr=False)


def err() -> Console:
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = _PlainConsole(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PIPED_COLUMNS
    return console


class _PlainConsole(Console):
    """Anybody may have written what stands in the bucket: nothing in it steers the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(_STEERING.sub("�", text), **options)


def command(function: Callable[P, None]) -> Callable[P, None]:
    """The edge around a command: every error becomes a few lines on stderr and an exit code."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.get("json"))
        try:
            function(*args, **kwargs)
        except RylaError as error:
            _blame_stack(error, kwargs.get("state_dir"))
            print_error(error, as_json=as_json)
            raise typer.Exit(1) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # `ryla events | head`
            raise typer.Exit(1) from None
        except Exception as error:  # noqa: BLE001  the process's edge: no traceback unless asked
            if structlog.is_configured():  # else it would be shown, whatever the level
                structlog.get_logger(__name__).debug("command_broke", exc_info=True)
            print_error(_of_file(error) or unforeseen(error), as_json=as_json)
            raise typer.Exit(1) from None

    return run


def _of_file(error: Exception) -> InvalidInput | None:
    """Of an OSError what can be done about it: a full disk, a folder that nobody may write."""
    if not isinstance(error, OSError):
        return None
    if error.errno in FULL:
        return InvalidInput(f"{error.strerror}", hint="Make room, or name a folder elsewhere.")
    if error.filename is None:
        return None
    return InvalidInput(
        f"{error.filename}: {error.strerror}",
        value=str(error.filename),
        hint="Name another place, or change who may write there.",
    )


def _blame_stack(error: RylaError, state_dir: object) -> None:
    """A stack that was killed leaves its file behind."""
    stack = stack_in_use(os.environ, state_dir if isinstance(state_dir, Path) else None)
    if not isinstance(error, StoreUnavailable):
        return
    if stack is not None:
        error.hint = f"The bucket is the one that {stack} names: is its `ryla up` still running?"
    elif endpoint := os.environ.get(variable("endpoint_url")):
        error.hint = f"Is {endpoint} the right endpoint, and does it answer? Nothing is lost."


def print_error(error: RylaError, *, as_json: bool, about: str | None = None) -> None:
    """`about` names what it concerns, such as a file."""
    others = error.others if isinstance(error, BadManifest) else ()
    if as_json:
        found = [fields_of(each) for each in (error, *others)]
        document = {"error": found[0], **({"about": about} if about else {})}
        text = _json_text({**document, "also": found[1:]})
        err().print(text, soft_wrap=True, markup=False, emoji=False)
        return
    for each in (error, *others):
        print_info(full_info(each), about)


def print_info(info: ErrorInfo, about: str | None = None) -> None:
    console = err()
    start = f"{about}: " if about else ""
    console.print(f"[red]{info.code}[/]: {escape(start + info.message)}", soft_wrap=True)
    for name in ("field", "value", "hint"):
        value = getattr(info, name)
        if value is not None:
            console.print(f"  [dim]{name:5}[/]  {escape(value or EMPTY)}", soft_wrap=True)
    for line in info.log_tail:
        console.print(f"  [dim]log[/]    {escape(line)}", soft_wrap=True)


def fields_of(error: RylaError) -> dict[str, Any]:
    return full_info(error).model_dump(mode="json", exclude_none=True)


def print_json(document: Any, *, line: bool = False) -> None:
    """One document, as one line when programs read it. `line` keeps it so for people too."""
    indent = 2 if out().is_terminal and not line else None
    print_text(_json_text(document, indent))


def _json_text(document: Any, indent: int | None = None) -> str:
    ascii_only = any("utf" not in console.encoding for console in (out(), err()))
    text = jsonlib.dumps(document, default=_plain, indent=indent, ensure_ascii=ascii_only)
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_text(text: str) -> None:
    """As it is: not wrapped, nothing in it read as markup."""
    out().print(text, soft_wrap=True, markup=False, emoji=False)


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Cells are plain text, None is empty. Columns with ">" before their name are numbers, those
    with "=" are never broken into lines, those with "=>" are both."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        name = column.lstrip(">=")
        marks = column.removesuffix(name)
        made.add_column(
            name,
            justify="right" if ">" in marks else "left",
            no_wrap="=" in marks,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: object) -> str:
    """Text as it is, but coloured where it is a word of COLOURS."""
    if value is None:
        return ""
    text = escape(str(value))
    colour = COLOURS.get(str(value))
    return f"[{colour}]{text}[/]" if colour else text


def found_and_fix(found: str, fix: str | None) -> str:
    """A cell of a check: what was found, and on a line of its own what to do about it."""
    return f"{found}\n→ {fix}" if fix else found


def span(duration: float | timedelta | None) -> str:
    """A duration in its two largest units: 4.2 s, 12 s, 3 m 20 s, 5 h 1 m, 2 d 3 h."""
    if duration is None:
        return ""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    rest, parts = round(seconds), list[str]()
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def age(since: datetime | None, now: datetime) -> str:
    return "" if since is None else span(now - since)


def usd(amount: float | None) -> str:
    """To a hundredth of a cent."""
    return "" if amount is None else f"${amount:.4f}"


def usd_range(least: float | None, most: float | None) -> str:
    """Where `most` is more, both."""
    both = most is not None and most != least
    return f"{usd(least)} to {usd(most)}" if both else usd(least)


def bar(fraction: float, width: int = 20) -> str:
    """`fraction` is from 0 to 1, `width` in characters without the percentage behind it."""
    full = round(fraction * width)
    return "█" * full + "░" * (width - full) + f" {fraction:4.0%}"
