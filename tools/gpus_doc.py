"""Writes docs/gpus.md from the tables and pipeline/costs.py: `python -m tools.gpus_doc`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from config.gpus import GpuTable, Measured, load_gpus
from config.models import ModelTable, load_models
from config.routes import RouteTable, load_routes
from handlers.kinds.base import Work
from handlers.kinds.registry import KINDS, NOT_YET
from pipeline import costs
from tools import gpus_order
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
     config/gpus_measured.toml, config/models.toml and pipeline/costs.py: edit those. -->

This page says which GPU each kind was asked to run on, which GPU it takes, and the sum behind that.
An estimate is *measured* where pictures were made on that GPU, at the speed at which the route runs
on it; any other is reckoned from a GPU that was measured ([below](#what-was-measured)) by the two
data sheets: so far all but those of the H200, the 48 GB class among them. `ryla accept --gpus`
measures the figures on your account, and `ryla report` shows what jobs took and cost.
"""

MEASURED = """\
## What was measured

`python -m benchmarks.gpu --comfyui DIR --json FILE` on a GPU machine measures pictures of Flux dev
at 1024x1024 with made-up weights of the real sizes ([testing.md](testing.md#on-a-gpu)); `python -m
tools.gpus_measured --from FILE` takes the figures from there. Medians of so many; *floor* is a
step's matrix products and attentions alone, in the same run; *start* is one start, to the end of
the first picture: the first one of a machine that had just booted, or a later one, which is some
ten seconds shorter. *Speed* is that of a [route](../config/routes.toml) on the card. `eager` has no
row, since no pictures were measured at it.
"""

RECKONED = """\
A GPU is estimated by its own row, of the speed at which a route runs on it, which is `compiled` on
the H200. Any other GPU runs at `stock` speed, and is reckoned from the `stock` row of the card with
the nearest peak; of two rows, from the one with the route's flags. A step has two parts: the floor,
which grows as the dense 16-bit peak shrinks, and the rest, which reads and writes memory and grows
as its bandwidth shrinks. That is arithmetic and no measurement: caches, clocks under a power limit
and kernels made for another chip are not in it. Z-Image and SDXL take for a FLOP what Flux takes. A
step of SDXL with InstantID takes no less than *a step of it* on whatever GPU: where it was
measured, it was bound by the processor. A start is taken to be as long as the longest of a card,
since a fresh container is a machine that has just booted.
"""

ORDER = """\
## The order of each route

By what a picture costs, on the mean of the route's kinds with their defaults. *While it works* is a
worker that always has a next picture. A worker is also paid for its start and its idle time at the
end, so the order is by the price with {n} pictures between them, a load taken to be light since
nobody has measured one: `ryla report` shows yours. With more pictures a start than the last column
says, the GPU is cheaper than the first. A test fails where config/routes.toml has another order.
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
`sdxl` alone would fit. By the estimate the L40S is cheaper where a picture is composed first, as it
is faster by more than it is dearer; the A10 is for `sdxl`, whose steps wait for the processor on
the L40S and not for the card. *At least* is one
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
        *_measured(gpus),
        *_order(gpus, routes, models),
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
        "?" if line.seconds is None else f"{line.seconds:.1f} s" + " measured" * line.measured,
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
        f"- Over a GPU's dense 16-bit peak that is the floor. Sampling, decoding and the rest (PNG,"
        f" HTTP, store) are at the GPU's pace (below); text is {costs.TEXT_ENCODE_SECONDS} s.\n"
    )
    route = routes.route("Flux")
    header = [
        "GPU",
        "peak",
        "memory",
        "floor",
        "sampling",
        "in all",
        "GPU alone",
        "+ cores, memory",
        "a picture",
    ]
    rows = []
    names = ("T4", "A10", *dict.fromkeys(route.gpus), *(each.name for each in gpus.measured))
    for name in names:
        gpu = gpus.gpu(name)
        known, pace = (
            costs.estimate("flux-dev", work, gpu, route, gpus),
            costs.pace(gpu, route, gpus),
        )
        least = costs.floor_seconds(model, work, gpu)
        if known.seconds is None or known.usd is None or least is None or pace is None:
            continue
        beside = known.usd - gpu.usd_per_second * known.seconds
        rows.append(
            [
                gpu.name,
                f"{gpu.peak_tflops:g} TFLOP/s",
                "?" if gpu.bandwidth_gbps is None else f"{gpu.bandwidth_gbps:g} GB/s",
                f"{least:.2f} s",
                f"{costs.sampling_seconds(model, work, pace):.2f} s",
                f"{known.seconds:.2f} s" + " measured" * pace.is_own,
                f"${gpu.usd_per_second * known.seconds:.4f}",
                f"${beside:.4f}",
                f"${known.usd:.4f}",
            ]
        )
    yield _table(header, rows)
    yield (
        f"Cores and memory are the route's: {route.cpu_cores:g} cores at"
        f" ${gpus.cpu_usd_per_core_second} and {route.memory_gib:g} GiB at"
        f" ${gpus.memory_usd_per_gib_second} a second. A slow GPU holds them longer.\n"
    )


def _measured(gpus: GpuTable) -> Iterator[str]:
    yield MEASURED
    header = ["card", "speed", "date", "ComfyUI", "picture", "sampling", "a step", "floor", "start"]
    rows = [_run(run) for gpu in gpus.measured for run in gpu.measured.values()]
    header += ["face pass", "a step of it"]
    yield _table(header, rows)
    yield RECKONED


def _run(run: Measured) -> list[str]:
    flag = "" if run.dynamic_vram else ", `--disable-dynamic-vram`"
    row = [run.card, run.speed + flag, str(run.date), run.comfyui]
    row += [f"{run.seconds:g} s (n {run.pictures})", f"{run.sampling_s:g} s"]
    row += [f"{run.sampling_s / run.steps:.3f} s", f"{run.floor_step_s:g} s a step"]
    row.append(f"{run.start_s:g} s")
    if run.face_pass_s is None or run.face_step_s is None:
        return [*row, "?", "?"]
    of = "" if run.face_date == run.date else f", {run.face_date}"
    return [*row, f"{run.face_pass_s:g} s (n {run.face_passes}{of})", f"{run.face_step_s:.3f} s"]


def _order(gpus: GpuTable, routes: RouteTable, models: ModelTable) -> Iterator[str]:
    n = gpus_order.PICTURES_A_START
    yield ORDER.format(n=n)
    header = ["route", "GPU", "place", "while it works", f"{n} pictures a start", "cheaper from"]
    rows = []
    for route in routes.routes.values():
        found = gpus_order.costs_of(route, gpus, models)
        first = next(cost for cost in found if cost.rank == 1)
        for cost in found:
            more = None if cost is first else cost.cheaper_from(first)
            place = "not on the route" if cost.rank is None else str(cost.rank)
            row = [route.name, cost.gpu.name, place, f"${cost.working:.4f}", f"${cost.usd(n):.4f}"]
            rows.append([*row, "" if more is None else f"{more:.0f} pictures"])
    yield _table(header, rows)


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
