"""Writes docs/gpus.md from the tables and pipeline/costs.py: `python -m tools.gpus_doc`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from config.tables import GpuTable, RouteTable, load_gpus, load_models, load_routes
from handlers.kinds.base import Work
from handlers.kinds.registry import KINDS, NOT_YET
from pipeline import costs
from tools.gpus_figures import (
    ASKED,
    PICTURES,
    Line,
    default_work,
    lines,
    reason,
    sheet_lines,
)

PATH = Path(__file__).parent.parent / "docs" / "gpus.md"

HEAD = """\
# GPUs

<!-- Written by `python -m tools.gpus_doc` from config/routes.toml, config/gpus.toml,
     config/models.toml and pipeline/costs.py: edit those. -->

This page says which GPU each kind was asked to run on, which GPU it takes, and the sum behind that.
Nothing here was measured on the GPU in question. Every figure comes from the arithmetic of the
model and the GPU's data sheet, times a ratio measured on one H200 (below). `ryla accept --gpus`
measures the figures on your account, and `ryla report` shows what jobs took and cost.
"""

KINDS_HEAD = """\
## Kind by kind

The figures are for one picture with the kind's defaults on a warm worker. *Weights* are all files
of the kind's sets, and in brackets the largest of them, against the GPU's memory. Weights that do
not fit together are moved between main memory and GPU, which no figure here contains. *Floor* is
the sampler's arithmetic at the GPU's dense 16-bit peak and nothing else: no program can be faster.
*A picture* is the price of the estimated seconds of GPU, processor and memory; loading, idling and
cold starts are not in it.
"""

SHEETS = """\
## A character sheet

A [sheet](character-sheets.md) runs on the Flux route whatever its base: the name of an inbox entry
says the kind and no base. The table says what that costs beside an A10, to which a sheet of base
`sdxl` alone would fit. By the estimate the L40S is cheaper too, as it is faster by more than it is
dearer; an A10 that is up already for `sdxl-instantid` would save a cold start. *At least* is one
try of every view, *at most* three, `attempts_per_view` unless given, each with a face pass where a
view has one. Loading and switching models is not in it.
"""

FORCE = """\
## Forcing the GPU that was asked

A [route](glossary.md#route) is a set of weights on a GPU, and the kinds of a route share it. Name a
file in `RYLA_ROUTES_FILE`; it is laid over config/routes.toml, key by key, and `ryla deploy` ships
it:

```toml
[routes.Flux]
gpus = ["T4"]            # {flux}
timeout_s = 1800

[routes.InstantId]
gpus = ["A10"]           # {instantid}
```

The first name is asked for first, and budgets (`max_cost_usd`) are estimated on it. The others
follow when the first cannot be had, and after `out_of_memory`. A GPU that gpus.toml does not list
is refused with the names that it has. Where the weights do not fit, ComfyUI moves them by itself,
or gives up with `out_of_memory`; neither was measured.
"""


def render() -> str:
    gpus = load_gpus()
    routes, models = load_routes(gpus=gpus), load_models()
    tables = {kind: lines(kind, gpus, routes, models) for kind in PICTURES}
    parts = [
        HEAD,
        *_summary(tables),
        KINDS_HEAD,
        *(_kind(kind, found) for kind, found in tables.items()),
        *_sheets(gpus, routes),
        *_sum(gpus, routes),
        FORCE.format(
            flux=", ".join(kind for kind in KINDS if KINDS[kind].route == "Flux"),
            instantid=", ".join(kind for kind in KINDS if KINDS[kind].route == "InstantId"),
        ),
        *_prices(gpus),
    ]
    return "\n".join(parts)


def _summary(tables: Mapping[str, Sequence[Line]]) -> Iterator[str]:
    header = [
        "kind",
        "asked",
        "taken",
        "weights of memory",
        "floor",
        "estimate",
        "a picture",
        "why",
    ]
    rows = []
    for kind, found in tables.items():
        taken = next(line for line in found if line.rank == 1)
        asked = next((line for line in found if line.asked), None)
        why = reason(asked if asked and asked is not taken else taken, taken)
        if asked and asked is not taken:
            why = f"not {asked.gpu.name}: {why}"
        name = asked.gpu.name if asked else "nothing"
        rows.append([f"`{kind}`", name, taken.gpu.name, *_figures(taken), why])
    yield _table(header, rows)
    later = ", ".join(f"`{kind}` ({ASKED[kind]})" for kind in sorted(NOT_YET & ASKED.keys()))
    yield (
        f"Asked for and not built yet: {later}. `workflow` runs on the Flux route, and"
        " a caller's graph is estimated as one of Flux ([workflow.md](workflow.md#how-much)).\n"
    )


def _kind(kind: str, found: Sequence[Line]) -> str:
    work = default_work(kind)
    taken = next(line for line in found if line.rank == 1)
    header = ["GPU", "", "weights of memory", "floor", "estimate", "a picture", "why"]
    rows = [[line.gpu.name, _place(line), *_figures(line), reason(line, taken)] for line in found]
    parts = ", then ".join(
        f"{each.steps} steps of {each.width}x{each.height}" for each in _passes(work)
    )
    return f"### {kind}\n\n{parts}\n\n{_table(header, rows)}"


def _passes(work: Work) -> Iterator[Work]:
    yield work
    if work.then is not None:
        yield from _passes(work.then)


def _place(line: Line) -> str:
    order = f"taken as number {line.rank}" if line.rank else "not taken"
    return f"asked; {order}" if line.asked else order


def _figures(line: Line) -> list[str]:
    memory = "?" if line.gpu.memory_gib is None else f"{line.gpu.memory_gib:g}"
    return [
        f"{line.weights_gib:.1f} ({line.largest_gib:.1f}) of {memory} GiB",
        "?" if line.floor_s is None else f"{line.floor_s:.2f} s",
        "?" if line.seconds is None else f"{line.seconds:.1f} s",
        "?" if line.usd is None else f"${line.usd:.4f}",
    ]


def _sheets(gpus: GpuTable, routes: RouteTable) -> Iterator[str]:
    yield SHEETS
    header = ["base", "views", "GPU", "at least", "at most", "price at least", "at most"]
    rows = [
        [
            f"`{line.base}`",
            f"`{line.preset}`",
            line.gpu,
            f"{line.seconds:.0f} s",
            f"{line.most_seconds:.0f} s",
            f"${line.usd:.3f}",
            f"${line.most_usd:.3f}",
        ]
        for line in sheet_lines(gpus, routes)
    ]
    yield _table(header, rows)


def _sum(gpus: GpuTable, routes: RouteTable) -> Iterator[str]:
    """The arithmetic of one Flux picture, number by number."""
    work, model = default_work("flux-dev"), costs.FLUX
    tokens = work.width * work.height / costs.PIXELS_PER_TOKEN + model.text_tokens
    step = costs.step_flops(model, work.width, work.height)
    attention = model.blocks * 4 * tokens**2 * model.hidden
    yield "## The sum, for flux-dev\n"
    yield (
        f"- {work.width}x{work.height} pixels are {tokens - model.text_tokens:.0f} tokens of"
        f" {costs.PIXELS_PER_TOKEN} pixels; with {model.text_tokens} of text, S = {tokens:.0f}.\n"
        f"- Linears: 2 x S x {model.weights_per_token:,} weights = {(step - attention) / 1e12:.2f}"
        f" TFLOP. Attention: {model.blocks} blocks x 4 x S² x {model.hidden} ="
        f" {attention / 1e12:.2f} TFLOP. A step is {step / 1e12:.2f} TFLOP, {work.steps} steps are"
        f" {work.steps * step / 1e15:.3f} PFLOP.\n"
        f"- Over a GPU's dense 16-bit peak that is the floor. ComfyUI 0.8.0 on an H200 took"
        f" {model.over_floor} times its floor (2.98 s); every GPU is assumed to have that ratio.\n"
        f"- Beside it: text {costs.TEXT_ENCODE_SECONDS} s, PNG {costs.PNG_SECONDS_PER_MP} s and VAE"
        f" {costs.DECODE_SECONDS_PER_MP} s (on {costs.DECODE_MEASURED_TFLOPS:g} TFLOP/s) a"
        f" megapixel, {costs.PROMPT_SECONDS:.2f} s a prompt.\n"
    )
    route = routes.route("Flux")
    header = [
        "GPU",
        "peak",
        "floor",
        "sampling",
        "in all",
        "GPU alone",
        "+ cores, memory",
        "a picture",
    ]
    rows = []
    for name in ("T4", "A10", *dict.fromkeys(route.gpus)):
        gpu = gpus.gpu(name)
        known = costs.estimate("flux-dev", work, gpu, route, gpus)
        least = costs.floor_seconds(model, work, gpu)
        if known.seconds is None or known.usd is None or least is None:
            continue
        beside = known.usd - gpu.usd_per_second * known.seconds
        rows.append(
            [
                gpu.name,
                f"{gpu.peak_tflops:g} TFLOP/s",
                f"{least:.2f} s",
                f"{least * model.over_floor:.2f} s",
                f"{known.seconds:.2f} s",
                f"${gpu.usd_per_second * known.seconds:.4f}",
                f"${beside:.4f}",
                f"${known.usd:.4f}",
            ]
        )
    yield _table(header, rows)
    yield (
        f"Cores and memory are the route's: {route.cpu_cores:g} cores at"
        f" ${gpus.cpu_usd_per_core_second} and {route.memory_gib:g} GiB at"
        f" ${gpus.memory_usd_per_gib_second} a second. A slow GPU holds"
        " them longer, and the T4 alone costs more than a whole picture on an L40S. The"
        " cheapest GPU while it works is not the cheapest while it loads or waits: a second of an"
        " H100 costs twice that of an L40S whatever it does. `ryla report` shows the share of cold"
        " starts, which decides between them.\n"
    )


def _prices(gpus: GpuTable) -> Iterator[str]:
    yield "## Prices\n"
    header = ["GPU", "$ an hour", "memory", "16-bit peak", "price as of", "source"]
    rows = [
        [
            gpu.name,
            f"{gpu.usd_per_second * 3600:.2f}",
            "?" if gpu.memory_gib is None else f"{gpu.memory_gib:g} GiB",
            "?" if gpu.peak_tflops is None else f"{gpu.peak_tflops:g} TFLOP/s",
            str(gpu.date),
            gpu.source,
        ]
        for gpu in gpus.gpus.values()
        if gpu.billed
    ]
    yield _table(header, rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    written = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in written)


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
