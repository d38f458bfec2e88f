"""What `ryla models` shows while it works, and asks before it does."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from config.errors import InvalidInput
from config.tables import WeightFile
from pipeline.cli import show
from pipeline.models.pull import OnFile


def accept(weights: Iterable[WeightFile], needed: int, *, ask: bool) -> None:
    """Licences, each once with its files. Raises InvalidInput when nobody can be asked."""
    by_licence: dict[str, list[WeightFile]] = {}
    for weight in weights:
        by_licence.setdefault(weight.licence, []).append(weight)
    for licence, files in by_licence.items():
        use = "" if all(each.commercial_use for each in files) else ", not for commercial use"
        names = ", ".join(each.file for each in files)
        show.err().print(f"{licence}{use}: {names}", soft_wrap=True, markup=False)
        for terms in dict.fromkeys(each.terms for each in files if each.terms):
            show.err().print(f"  {terms}", soft_wrap=True, markup=False)
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
    console = show.err()
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
