"""`ryla sheets page`: a batch as one HTML file, in which a person reviews its sheets."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from pipeline.batches.batch import require_batch
from pipeline.batches.page.html import render_page
from pipeline.batches.page.links import MOST_HOURS, links_beside, signed_links
from pipeline.batches.page.reader import BatchPage, read_page
from pipeline.batches.page.thumbnails import shrinker
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.out_file import write_out
from pipeline.jobs.hold_ups import read_hold_ups
from pipeline.runtime import load_runtime
from pipeline.store.open import open_store

HELP = """Write one HTML file of a batch: its sheets with small pictures, scores and verdicts.

The file needs no server and asks nobody. Views are kept and rejected in it by keys, and what was
said is saved as a file that `ryla sheets review NAME --from FILE` applies. Small copies of the
pictures are kept in the bucket, so that the next page is quick. A picture opens in full where the
bucket's `jobs/` lies beside the page, or with --links for as many hours.

Examples:

    ryla sheets page autumn --open

    ryla sheets page autumn --out review/autumn.html --links 48
"""


def register(group: typer.Typer) -> None:
    group.command("page", help=HELP)(_page)


@output.command
def _page(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the batch.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE.html", dir_okay=False, help="Where to; NAME.html unless given."
        ),
    ] = None,
    links: Annotated[
        int | None,
        typer.Option(
            "--links",
            metavar="HOURS",
            min=1,
            max=MOST_HOURS,
            help="Whoever has the page can read its pictures in full for so long.",
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    settings = bucket_settings(state_dir)
    store = open_store(settings)
    hold_ups = read_hold_ups(store, load_runtime(settings, settings.engine))
    batch, path = require_batch(store, name), out or Path(f"{name}.html")
    link = links_beside(path.parent) if links is None else signed_links(store.raw, links)
    with shrinker() as shrink, _Bars(shown=not json) as bars:
        page = read_page(store, batch, shrink, bars.show, hold_ups)
    body = render_page(page, link).encode()
    write_out(path, body)
    _tell(page, path, len(body), as_json=json)
    if open_:
        typer.launch(path.absolute().as_uri())


class _Bars:
    """How much of what was read, on a terminal."""

    def __init__(self, *, shown: bool) -> None:
        console = output.err()
        self._progress = Progress(
            console=console, transient=True, disable=not shown or not console.is_terminal
        )

    def show(self, what: str, done: int, whole: int) -> None:
        task = next((each for each in self._progress.tasks if each.description == what), None)
        id = self._progress.add_task(what, total=whole) if task is None else task.id
        self._progress.update(id, completed=done)

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _tell(page: BatchPage, path: Path, size: int, *, as_json: bool) -> None:
    made = page.thumbnails
    without = {picture.key: each.problem for picture, each in made.items() if each.problem}
    if as_json:
        output.print_json(
            {
                "page": str(path),
                "bytes": size,
                "sheets": len(page.cards),
                "pictures": len(made),
                "thumbnails_made": sum(each.fresh for each in made.values()),
                "without_picture": without,
                "waiting": page.waiting,
                "why_wait": page.why_wait,
            }
        )
        return
    sheets = f"{len(page.cards)} sheets, {len(made)} pictures, {size / 1e6:.1f} MB"
    output.out().print(f"{escape(str(path))}  [dim]{sheets}[/]", soft_wrap=True)
    for problem, count in Counter(without.values()).items():
        output.err().print(f"[yellow]{count} pictures[/]: {problem}", soft_wrap=True)
