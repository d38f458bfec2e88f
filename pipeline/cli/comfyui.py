"""`ryla comfyui`: set ComfyUI up, and see whether one has what the graphs need."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import InstallFailed, InvalidSetting
from config.settings import Settings, load_settings
from handlers.comfyui.client import ComfyClient
from pipeline.cli import output
from pipeline.cli.options import Json
from pipeline.comfyui_setup.install import InstallOptions, run
from pipeline.comfyui_setup.nodes import FLAGS, NodeCheck, check_folder, live_interfaces
from pipeline.comfyui_setup.pins import COMFYUI, PACKS
from workflows import interfaces, missing_nodes, required_nodes
from workflows.comparison import Comparison, compare, with_absent_packs
from workflows.own_interfaces import without_own

HELP = "Set ComfyUI up, and see whether one has what the graphs need."
INTERFACES_HELP = """Read the node interfaces of a running ComfyUI, and hold them against our table.

Graphs are checked against the table before anything is sent. Shown is what differs of the nodes
that our graphs need; with --check, the exit code is 1 if one is missing or differs. --out writes
the table anew; of node packs that this ComfyUI lacks altogether, our own table's nodes are kept.

Example:

    ryla comfyui interfaces --url http://127.0.0.1:8188 --check
"""
CHECK_HELP = """Start a ComfyUI folder without a GPU, and look whether every needed node is there.

Prints which node packs could not be imported, and why.

Example:

    ryla comfyui check ~/comfy/ComfyUI
"""
INSTALL_HELP = """Install ComfyUI with comfy-cli, and node packs at their commits; then check it.

ComfyUI, torch and the packs are of pinned versions. --source takes another git address or a local
clone, --pack-source one for a node pack.

Examples:

    ryla comfyui install ~/comfy/ComfyUI

    ryla comfyui install ./ComfyUI --cpu --source ~/clones/ComfyUI
"""

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="ComfyUI's folder (RYLA_COMFYUI_DIR).", show_default=""),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")
    app.add_typer(group, name="comfyui")
    group.command("interfaces", help=INTERFACES_HELP)(_interfaces)
    group.command("check", help=CHECK_HELP)(_check)
    group.command("install", help=INSTALL_HELP)(_install)


@output.command
def _interfaces(
    url: Annotated[
        str | None, typer.Option("--url", help="Of the ComfyUI that runs (RYLA_COMFYUI_URL).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the table there.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Fail if a needed node differs.")] = False,
    json: Json = False,
) -> None:
    settings = load_settings(os.environ)
    address = url or settings.comfyui_url
    if address is None:
        raise InvalidSetting(
            "no ComfyUI is named", field="RYLA_COMFYUI_URL", hint="Give --url of one that runs."
        )
    with ComfyClient(address) as client:
        live = without_own(live_interfaces(client))
    ours = interfaces.committed()
    comparison = compare(ours, live, required_nodes.ALL)
    table, kept = with_absent_packs(live, ours)
    if out is not None:
        out.write_text(interfaces.dumps(table), encoding="utf-8")
    if json:
        written = {"out": out, "nodes": len(table.nodes), "kept_of_packs": kept}
        output.print_json({**_compared(comparison), **(written if out else {})})
    else:
        output.print_text(f"ComfyUI {live.comfyui_version} at {address}: {len(live.nodes)} nodes")
        _print_comparison(comparison)
        if out is not None:
            also = f", and those of {', '.join(kept)} as they were" if kept else ""
            output.print_text(f"{out}: {len(table.nodes)} nodes{also}")
    if check and not comparison.same:
        raise typer.Exit(1)


@output.command
def _check(folder: Folder = None, json: Json = False) -> None:
    settings = load_settings(os.environ)
    place = _named(folder, settings)
    _report(_checked(place, settings.comfyui_python or _python_of(place), settings), json=json)


@output.command
def _install(
    folder: Folder = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="GIT-OR-CLONE", help="Of ComfyUI.")
    ] = None,
    version: Annotated[str, typer.Option("--version", help="A release of it.")] = COMFYUI,
    nvidia: Annotated[bool, typer.Option("--nvidia/--cpu", help="What it is to run on.")] = True,
    packs: Annotated[
        list[str] | None,
        typer.Option("--pack", metavar="NAME", help=f"Of {', '.join(PACKS)}; repeat it."),
    ] = None,
    pack_sources: Annotated[
        list[str] | None,
        typer.Option("--pack-source", metavar="NAME=GIT-OR-CLONE", help="Of a node pack."),
    ] = None,
    requirements: Annotated[
        bool, typer.Option("--requirements/--no-requirements", help="Install packages, and check.")
    ] = True,
    json: Json = False,
) -> None:
    settings = load_settings(os.environ)
    place = _named(folder, settings).absolute()
    options = InstallOptions(
        folder=place,
        nvidia=nvidia,
        source=source,
        version=version,
        packs=_packs(packs) if packs else InstallOptions.packs,
        pack_sources=_sources(pack_sources or ()),
        requirements=requirements,
    )
    said = output.err()
    run(
        options,
        on_step=lambda name: said.print(f"[bold]{name}[/]", soft_wrap=True),
        on_line=lambda line: said.print(f"  {line}", markup=False, soft_wrap=True, style="dim"),
    )
    if not requirements:
        output.print_text(f"{place}: without packages, so not checked")
        return
    _report(_checked(place, options.python, settings), json=json)
    if not json:
        output.print_text(f"RYLA_COMFYUI_DIR={place}\nRYLA_COMFYUI_PYTHON={options.python}")


def _named(folder: Path | None, settings: Settings) -> Path:
    place = folder or settings.comfyui_dir
    if place is None:
        raise InvalidSetting(
            "no folder is named", field="RYLA_COMFYUI_DIR", hint="Name ComfyUI's folder."
        )
    return place


def _packs(names: list[str]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in PACKS]
    if unknown:
        raise InstallFailed(
            f"no pack is named {unknown[0]}", field="--pack", hint=f"Known: {', '.join(PACKS)}."
        )
    return tuple(names)


def _sources(given: list[str] | tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        name, equals, source = each.partition("=")
        if not equals:
            raise InstallFailed(
                f"{each} names no pack", field="--pack-source", hint="Write NAME=GIT-OR-CLONE."
            )
        found[_packs([name])[0]] = source
    return found


def _python_of(folder: Path) -> Path:
    """Of its own environment, where `ryla comfyui install` made one."""
    return InstallOptions(folder).python


def _checked(folder: Path, python: Path, settings: Settings) -> NodeCheck:
    return check_folder(
        folder,
        python,
        os.environ,
        ready_seconds=settings.comfyui_ready_seconds,
        flags=FLAGS,
    )


def _report(found: NodeCheck, *, json: bool) -> None:
    if json:
        output.print_json(
            {"good": found.good, "not_imported": found.failed, **_compared(found.comparison)}
        )
    else:
        for name, why in found.failed.items():
            output.print_text(f"Not imported: {name}: {why}")
        _print_comparison(found.comparison)
    if not found.good:
        raise typer.Exit(1)


def _print_comparison(comparison: Comparison) -> None:
    for name in comparison.missing:
        output.print_text(f"Missing: {name}. {missing_nodes.why_missing(name, comparison.theirs)}")
    for name, differences in comparison.changed.items():
        for each in differences:
            output.print_text(f"Differs: {name}: {each}")
    if comparison.same:
        total = len(required_nodes.ALL)
        output.print_text(
            f"All {total} nodes that the graphs need are there, as in ComfyUI {comparison.ours}."
        )


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        "comfyui_version": comparison.theirs,
        "table_version": comparison.ours,
        "missing": {
            name: missing_nodes.why_missing(name, comparison.theirs) for name in comparison.missing
        },
        "changed": comparison.changed,
    }
