"""What `ryla models` answers, as data and in words."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from config.errors import InvalidInput
from config.tables import WeightFile
from pipeline.cli import output
from pipeline.models.files import State
from pipeline.models.pull import OnFile, Pulled
from pipeline.models.sets import Plan
from pipeline.models.verify import VerifiedFile


def planned(
    sets: tuple[str, ...], plan: Plan, to_come: list[WeightFile], free_gib: float
) -> dict[str, Any]:
    return {
        "sets": sets,
        "files": [each.name for each in plan.files],
        "bytes": plan.bytes,
        "bytes_to_come": sum(each.bytes or 0 for each in to_come),
        "length_unknown": plan.unknown,
        "usd_per_month": round(plan.usd_per_month, 2),
        "usd_per_month_beyond_free": round(plan.usd_per_month_beyond_free, 2),
        "free_gib": free_gib,
    }


def verdict(each: VerifiedFile) -> dict[str, Any]:
    return {
        "name": each.local.weight.name,
        "path": each.local.path,
        "state": each.local.state,
        "why": each.local.why,
        "disagreement": each.disagreement,
        "learned": each.learned,
    }


def pulled(each: Pulled) -> dict[str, Any]:
    return {
        "name": each.weight.name,
        "path": each.path,
        "bytes": each.bytes,
        "sha256": each.sha256,
        "resumed_at": each.resumed_at,
        "seconds": round(each.seconds, 2),
    }


def said(each: VerifiedFile) -> str:
    parts = [each.local.why, each.disagreement]
    if each.local.state is State.UNPROVEN:
        parts.append(f"sha256 {each.local.sha256}, and nothing to hold it against")
    return "; ".join(part for part in parts if part)


def commercial(row: dict[str, Any]) -> str:
    if row["commercial_use"]:
        return "yes"
    return "by agreement" if row["licence_note"] else "no"


def gb(bytes: int | None) -> str:
    return "?" if bytes is None else f"{bytes / 1e9:.2f}"


def accept(weights: Iterable[WeightFile], needed: int, *, ask: bool) -> None:
    """Licences, each once with its files. Raises InvalidInput when nobody can be asked."""
    by_licence: dict[str, list[WeightFile]] = {}
    for weight in weights:
        by_licence.setdefault(weight.licence, []).append(weight)
    for licence, files in by_licence.items():
        use = "" if all(each.commercial_use for each in files) else ", not for commercial use"
        names = ", ".join(each.file for each in files)
        output.err().print(f"{licence}{use}: {names}", soft_wrap=True, markup=False)
        for terms in dict.fromkeys(each.terms for each in files if each.terms):
            output.err().print(f"  {terms}", soft_wrap=True, markup=False)
    question = f"Accept these licences and download {needed / 1e9:.1f} GB?"
    if ask and sys.stdin.isatty() and typer.confirm(question, err=True):
        return
    raise InvalidInput(
        "the licences were not accepted",
        field="--accept-licences",
        hint="Read them where the files come from, then give --accept-licences.",
    )


@contextmanager
def bars(*, shown: bool) -> Iterator[OnFile]:
    console = output.err()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(
        *columns, console=console, disable=not (shown and console.is_terminal)
    ) as progress:

        def on_file(weight: WeightFile, done: int) -> None:
            if weight.name not in tasks:
                tasks[weight.name] = progress.add_task(weight.file, total=weight.bytes)
            progress.update(tasks[weight.name], completed=done)

        yield on_file


Sets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SET]...", help="Sets of models.toml; those of the available kinds."),
]
Dir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Models folder (RYLA_MODELS_DIR).", show_default=""),
]
