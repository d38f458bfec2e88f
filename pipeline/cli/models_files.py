"""`ryla models verify | pull | add`: weight files are read, downloaded and registered."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from config.errors import InvalidInput, ModelError
from config.models import WeightFile
from config.settings import Settings
from pipeline.cli import output
from pipeline.cli.models_options import Dir, Sets, gb, select
from pipeline.cli.options import Json
from pipeline.models import overlay
from pipeline.models.add import add
from pipeline.models.hub import Hub, HuggingFace
from pipeline.models.models_folder import State
from pipeline.models.pull import OnFile, Pulled, prepare, pull, require_space
from pipeline.models.verify import VerifiedFile, verify
from pipeline.models.versions import files_kept, is_aside

VERIFY_HELP = """Hash the files that are here, and hold table and hub against each other.

Facts that the table lacks, and files that were proven, are written into RYLA_MODELS_FILE if it is
set. Exit code 1 if a file is missing or wrong, or the hub says otherwise than the table.

Example:

    ryla models verify flux-dev
"""
PULL_HELP = """Download what is missing. A download that was cut is continued.

Every file's licence is shown first and must be accepted. A gated model names the page to accept it
on; the account's token is read from HF_TOKEN.

Example:

    ryla models pull z-image-turbo --accept-licences
"""
ADD_HELP = """Register a checkpoint of your own: it is checked, copied into the models folder, and
written into RYLA_MODELS_FILE.

Example:

    ryla models add ~/my-flux.safetensors --as flux-dev-uncensored
"""


def register(group: typer.Typer) -> None:
    group.command("verify", help=VERIFY_HELP)(_verify)
    group.command("pull", help=PULL_HELP)(_pull)
    group.command("add", help=ADD_HELP)(_add)


@output.command
def _verify(
    sets: Sets = None,
    dir: Dir = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no hub.")] = False,
    json: Json = False,
) -> None:
    selection = select(sets, dir)
    folder = selection.folder
    hub = None if offline else _hub_if_there()
    with _bars(shown=not json) as on_file:
        verdicts = list(verify(selection.weights, folder, hub, on_file))
    noted = _note(selection.settings, {each.local.weight.name: each.learned for each in verdicts})
    if json:
        output.print_json([_verdict(each) for each in verdicts])
    else:
        cells = [
            (f"{w.folder}/{w.file}", each.local.state, _found(each))
            for each in verdicts
            for w in (each.local.weight,)
        ]
        output.out().print(output.table(None, ("=file", "", "found"), cells))
        output.print_text(noted)
    if any(each.bad or each.local.state is State.MISSING for each in verdicts):
        raise typer.Exit(1)


def _hub_if_there() -> Hub | None:
    try:
        return HuggingFace()
    except ModelError as error:
        output.err().print(f"The hub is not asked: {error.message}", soft_wrap=True, markup=False)
        return None


def _verdict(each: VerifiedFile) -> dict[str, Any]:
    return {
        "name": each.local.weight.name,
        "path": each.local.path,
        "state": each.local.state,
        "why": each.local.why,
        "disagreement": each.disagreement,
        "learned": each.learned,
    }


def _found(each: VerifiedFile) -> str:
    parts = [each.local.why, each.disagreement]
    if each.local.state is State.UNPROVEN:
        parts.append(f"sha256 {each.local.sha256}, and nothing to hold it against")
    return "; ".join(part for part in parts if part)


@output.command
def _pull(
    sets: Sets = None,
    dir: Dir = None,
    accept: Annotated[
        bool, typer.Option("--accept-licences", help="Accept the licences that are shown.")
    ] = False,
    json: Json = False,
) -> None:
    selection = select(sets, dir)
    folder = selection.folder
    hub = HuggingFace()
    wanted = prepare(selection.weights, folder, hub)
    needed = require_space(wanted, folder)
    if wanted and not accept:
        _require_accepted([each.weight for each in wanted], needed, ask=not json)
    pulled: list[Pulled] = []
    with _bars(shown=not json) as on_file:
        for each in pull(wanted, hub, on_file):
            pulled.append(each)
            _note(selection.settings, {each.weight.name: _facts(each)})
    if json:
        output.print_json([_document(each) for each in pulled])
        return
    for each in pulled:
        output.print_text(f"{each.path}  {gb(each.bytes)} GB in {output.span(each.seconds)}")
    if not pulled:
        output.print_text(f"Nothing to pull: all {len(selection.weights)} files are in {folder}.")


def _require_accepted(weights: Iterable[WeightFile], needed: int, *, ask: bool) -> None:
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


def _document(each: Pulled) -> dict[str, Any]:
    return {
        "name": each.weight.name,
        "path": each.path,
        "bytes": each.bytes,
        "sha256": each.sha256,
        "resumed_at": each.resumed_at,
        "seconds": round(each.seconds, 2),
    }


@output.command
def _add(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    name: Annotated[str, typer.Option("--as", metavar="SET", help="Such as flux-dev-uncensored.")],
    licence: Annotated[str, typer.Option("--licence", help="Its name.")] = "your own",
    commercial_use: Annotated[
        bool, typer.Option("--commercial-use", help="Its licence allows commercial use.")
    ] = False,
    dir: Dir = None,
    json: Json = False,
) -> None:
    selection = select(None, dir)
    settings = selection.settings
    if settings.models_file is None:
        raise InvalidInput(
            "no file of your own is named to register it in",
            field="RYLA_MODELS_FILE",
            hint="Set RYLA_MODELS_FILE, such as to models.toml in the folder of your deployment;"
            " it is made if it is not there.",
        )
    with _bars(shown=not json) as on_file:
        bar = WeightFile(
            name=name, folder="own", file=name, family="flux", licence="", commercial_use=False
        )
        added = add(
            file,
            name,
            selection.models,
            selection.folder,
            licence=licence,
            commercial_use=commercial_use,
            on_bytes=lambda done: on_file(bar, done),
            kept=files_kept(selection.folder),
        )
    overlay.write(settings.models_file, added.changes)
    if json:
        output.print_json(
            {"set": name, "path": added.path, "bytes": added.bytes, "sha256": added.sha256}
        )
        return
    output.print_text(f"{added.path}\nsha256 {added.sha256}\nSet {name} in {settings.models_file}")


def _note(settings: Settings, learned: dict[str, dict[str, overlay.Value]]) -> str:
    """Write facts into the operator's file, and say so."""
    changes = {("weights", name): facts for name, facts in learned.items() if facts}
    if not changes:
        return "Nothing new was learned."
    names = ", ".join(name for _, name in changes)
    if settings.models_file is None:
        return f"Set RYLA_MODELS_FILE to keep what was learned of {names}."
    overlay.write(settings.models_file, changes)
    return f"Written into {settings.models_file}: {names}"


def _facts(each: Pulled) -> dict[str, overlay.Value]:
    weight = each.weight
    facts: dict[str, Any] = {
        "bytes": each.bytes,
        "sha256": each.sha256,
        "revision": each.revision,
        "verified": True,
    }
    learned = {
        name: value
        for name, value in facts.items()
        if value is not None and not getattr(weight, name)
    }
    if "sha256" in learned and is_aside(weight):
        learned["file"] = weight.file  # with its checksum known, it would be looked for elsewhere
    return learned


@contextmanager
def _bars(*, shown: bool) -> Iterator[OnFile]:
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
