"""Writes config/gpus_measured.toml from what benchmarks/gpu.py wrote, then docs/gpus.md:

    python -m tools.gpus_measured                               # of the runs in benchmarks/gpu_runs
    python -m tools.gpus_measured --from FILE.json              # adds a run to them first
    python -m tools.gpus_measured --from FILE.json --to OTHER   # of that run alone: RYLA_GPUS_FILE

Each card has one run for each speed, and for ComfyUI with and without its dynamic memory: the
latest; its face passes are of the latest that made any. Estimates, and the order that docs/gpus.md
compares, follow.
"""

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from config.gpus import NO_GPU, Gpu, GpuTable, Measured, Speed, load_gpus
from tools import gpus_doc

ROOT = Path(__file__).parent.parent
PATH = ROOT / "config/gpus_measured.toml"
RUNS = ROOT / "benchmarks/gpu_runs"
STEPS = 20
"""Of benchmarks/gpu.py's warm pictures."""
FACE_FIELDS = ("face_date", "face_pass_s", "face_passes", "face_step_s")
HEAD = """\
# What was measured on GPUs, laid over gpus.toml: written by `python -m tools.gpus_measured` from
# the runs in benchmarks/gpu_runs. Seconds; medians of so many pictures or face passes.
"""


class NotMeasured(ValueError):
    """A run that no figure can be taken from. The message says why."""


def measured(run: Mapping[str, Any], gpus: GpuTable) -> tuple[Gpu, Measured]:
    """The figures of one run, and whose they are. Raises NotMeasured."""
    gpu = gpus.identify(str(run.get("card", "")))
    if gpu.name not in gpus.gpus or gpu.name == NO_GPU:
        raise NotMeasured(f"{run.get('card')!r} is the name of no card of gpus.toml")
    if missing := {"warm_flux_s", "warm_parts", "start_to_first_picture_s"} - run.keys():
        raise NotMeasured(
            f"the run lacks {', '.join(sorted(missing))}: its group `warm` did not run"
        )
    if not math.isfinite(run["floor_step_s"]):
        raise NotMeasured("the run has no floor: it had no GPU")
    _, seconds, _, pictures = run["warm_flux_s"]
    # Runs from before 2026-11-30 have the decoding of their last picture alone.
    decode = run["warm_decode_s"][1] if "warm_decode_s" in run else run["warm_parts"][-1]["decode"]
    return gpu, Measured(
        card=run["card"],
        speed=_speed(run),
        dynamic_vram=run.get("dynamic_vram", True),
        date=run["date"],
        comfyui=run["comfyui"],
        steps=STEPS,
        pictures=pictures,
        seconds=round(seconds, 3),
        sampling_s=round(run["warm_flux_execution_s"][1] - decode - run["save_node_s"][1], 3),
        decode_s=round(decode, 3),
        floor_step_s=round(run["floor_step_s"], 4),
        start_s=round(run["start_to_first_picture_s"], 1),
        **_faces(run),
    )


def _speed(run: Mapping[str, Any]) -> Speed:
    """Of the warm pictures, by their steps; ComfyUI's own tell nothing."""
    ways = set(run.get("warm_sampled") or {"stock": STEPS})
    known = [speed for speed in get_args(Speed) if ways == {speed}]
    if not known:
        raise NotMeasured(f"its warm pictures were made in several ways: {', '.join(sorted(ways))}")
    speed: Speed = known[0]
    return speed


def _faces(run: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing of a run without face passes."""
    if "face_pass_s" not in run:
        return {}
    _, seconds, _, passes = run["face_pass_s"]
    return {
        "face_date": run["date"],
        "face_pass_s": round(seconds, 2),
        "face_passes": passes,
        "face_step_s": round(run["face_pass_parts"]["sampling"] / STEPS, 4),
    }


def _with_faces_of(earlier: Measured | None, found: Measured) -> Measured:
    if earlier is None or found.face_pass_s is not None:
        return found
    return found.model_copy(update={name: getattr(earlier, name) for name in FACE_FIELDS})


def name_of(found: Measured) -> str:
    """Of its table among those of the card."""
    return found.speed if found.dynamic_vram else f"{found.speed}-disable-dynamic-vram"


def render(runs: Iterable[Mapping[str, Any]], gpus: GpuTable) -> str:
    """The file. Raises NotMeasured."""
    latest: dict[tuple[str, str], Measured] = {}
    for gpu, found in sorted((measured(run, gpus) for run in runs), key=lambda each: each[1].date):
        place = gpu.name, name_of(found)
        latest[place] = _with_faces_of(latest.get(place), found)
    tables = (
        f"\n[gpus.{gpu}.measured.{name}]\n{_table(found)}"
        for (gpu, name), found in sorted(latest.items())
    )
    return HEAD + "".join(tables)


def _table(found: Measured) -> str:
    fields = found.model_dump(mode="json", exclude_none=True)
    fields |= {name: getattr(found, name) for name in ("date", "face_date") if name in fields}
    return "".join(
        f"{name} = {json.dumps(value) if isinstance(value, str | bool) else value}\n"
        for name, value in fields.items()
    )


def committed(folder: Path = RUNS) -> list[Mapping[str, Any]]:
    return [_read(file) for file in sorted(folder.glob("*.json"))]


def add(run: Mapping[str, Any], gpus: GpuTable, folder: Path = RUNS) -> None:
    """Keep a run, without its profile. Raises NotMeasured."""
    gpu, found = measured(run, gpus)
    kept = {name: value for name, value in run.items() if name != "profile"}
    file = folder / f"{gpu.name.lower()}-{name_of(found)}-{found.date}.json"
    file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _read(file: Path) -> Mapping[str, Any]:
    run: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
    return run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="run", type=Path, help="what benchmarks.gpu --json wrote")
    parser.add_argument("--to", type=Path, help="a file of the operator's")
    options = parser.parse_args(arguments)
    gpus = load_gpus()
    given = None if options.run is None else _read(options.run)
    if options.to is not None:
        options.to.write_text(render(committed() if given is None else [given], gpus), "utf-8")
        return
    if given is not None:
        add(given, gpus)
    PATH.write_text(render(committed(), gpus), encoding="utf-8")
    gpus_doc.PATH.write_text(gpus_doc.render(), encoding="utf-8")


if __name__ == "__main__":
    main()
