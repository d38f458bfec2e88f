"""What a kind takes on a GPU, and why a GPU is taken or not. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import get_args

from config.gpus import Gpu, GpuTable
from config.models import ModelTable
from config.routes import RouteTable
from handlers.character_sheet.input import CharacterSheetInput, PresetName
from handlers.character_sheet.kind import CharacterSheet
from handlers.character_sheet.person import BaseName
from handlers.kinds import compatibility
from handlers.kinds.base import Work
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.models.sets import GIB

ASKED: Mapping[str, str] = MappingProxyType(
    {
        "flux-dev": "L40S",
        "flux-schnell": "T4",
        "flux-lora": "T4",
        "flux-instantid": "A10",
        "sdxl-instantid": "A10",
        "wan-t2v": "L40S",
        "seedvr2": "A10",
    }
)
"""Kind → GPU, by the requirements (EP-058, constraints). Of the other kinds they say nothing."""
PICTURES = tuple(kind for kind in KINDS if compatibility.rows(kind) and kind != "character-sheet")
"""Kinds that are priced by the picture."""
SHEET_GPUS = ("L40S", "A10")
"""The first GPU of the sheets' route, and that of sdxl-instantid's."""
TARGET_SECONDS = 30.0
MINIMAL: Mapping[str, str] = MappingProxyType(
    {
        "prompt": "a lighthouse at dusk",
        "lora_name": "any.safetensors",
        "reference_image": f"inputs/{'0' * 64}.png",
    }
)
"""What a job of some kind cannot be without; everything else is a kind's own default."""


@dataclass(frozen=True)
class Line:
    """A kind on a GPU."""

    kind: str
    gpu: Gpu
    asked: bool
    rank: int | None
    """From 1: its rank among the GPUs of the route; None where the route does not have it."""
    weights_gib: float
    largest_gib: float
    floor_s: float | None
    seconds: float | None
    usd: float | None
    measured: bool
    """Or the seconds are reckoned from another GPU."""

    @property
    def fits(self) -> bool | None:
        memory = self.gpu.memory_gib
        return None if memory is None else self.weights_gib < memory

    @property
    def problems(self) -> list[str]:
        found, memory = [], self.gpu.memory_gib or 0.0
        if self.largest_gib >= memory:
            found.append(f"the largest file ({self.largest_gib:.1f} GiB) alone does not fit")
        elif not self.fits:
            found.append("the weights do not fit together")
        if self.seconds is not None and self.seconds >= TARGET_SECONDS:
            found.append(f"{self.seconds:.0f} s miss the target of {TARGET_SECONDS:.0f} s")
        return found


def lines(kind: str, gpus: GpuTable, routes: RouteTable, models: ModelTable) -> list[Line]:
    """The GPU that was asked, then those of the route."""
    route = routes.route(KINDS[kind].route)
    names = dict.fromkeys(gpus.gpu(name).name for name in route.gpus)
    asked = gpus.gpu(ASKED[kind]).name if kind in ASKED else None
    ranks = {name: n for n, name in enumerate(names, start=1)}
    sizes = weights_gib(kind, models)
    work = default_work(kind)
    made = []
    for name in dict.fromkeys((*([asked] if asked else []), *names)):
        gpu = gpus.gpu(name)
        known = costs.estimate(kind, work, gpu, route, gpus)
        pace = costs.pace(gpu, route, gpus)
        made.append(
            Line(
                kind=kind,
                gpu=gpu,
                asked=name == asked,
                rank=ranks.get(name),
                weights_gib=sum(sizes),
                largest_gib=max(sizes),
                floor_s=floor(kind, work, gpu),
                seconds=known.seconds,
                usd=known.usd,
                measured=pace is not None and pace.is_own,
            )
        )
    return made


def weights_gib(kind: str, models: ModelTable) -> list[float]:
    """Of each weight file of a kind."""
    files = models.files(compatibility.rows(kind)[0].sets)
    return [(weight.bytes or 0) / GIB for weight in files.values()]


def fits(kind: str, gpu: Gpu, models: ModelTable) -> bool:
    """Whether all weights of a kind lie in the GPU's memory together, as far as it is known."""
    return gpu.memory_gib is not None and sum(weights_gib(kind, models)) < gpu.memory_gib


def default_work(kind: str) -> Work:
    model = KINDS[kind].input_model
    given = {name: value for name, value in MINIMAL.items() if name in model.model_fields}
    return KINDS[kind].work(model.model_validate(given))


@dataclass(frozen=True)
class SheetLine:
    """A character sheet of one base, by reference faces, on a GPU."""

    base: str
    preset: str
    gpu: str
    seconds: float
    usd: float
    """One try of each view, as are `seconds`."""
    most_seconds: float
    """Every view made as often as it may be, three times unless given."""
    most_usd: float


def sheet_lines(gpus: GpuTable, routes: RouteTable) -> Iterator[SheetLine]:
    """On the route's first GPU and on the smaller one. Raises ValueError without an estimate."""
    kind = CharacterSheet()
    for base, preset, name in product(get_args(BaseName), get_args(PresetName), SHEET_GPUS):
        request = CharacterSheetInput(
            name="Ann", base=base, views=preset, reference_images=(f"inputs/{'0' * 64}.png",)
        )
        known = costs.job_estimate(kind, request, gpus.gpu(name), routes, gpus)
        figures = (known.seconds, known.usd, known.most_seconds, known.most_usd)
        if any(each is None for each in figures):
            raise ValueError(f"no estimate of a sheet on {name}")
        yield SheetLine(base, preset, name, *(each or 0.0 for each in figures))


def floor(kind: str, work: Work, gpu: Gpu) -> float | None:
    """Of all passes of the job."""
    model = costs.SAMPLERS.get(work.model or kind)
    own = None if model is None else costs.floor_seconds(model, work, gpu)
    then = 0.0 if work.then is None else floor(kind, work.then, gpu)
    return None if own is None or then is None else own * work.images + then


def reason(line: Line, taken: Line) -> str:
    """Why a GPU is taken or not, in figures."""
    problems = "; ".join(line.problems)
    dearer = _dearer(line, taken)
    if line.rank == 1:
        return problems or ("as asked" if line.asked else _first(line))
    if line.rank is not None:
        return f"where {taken.gpu.name} cannot be had{dearer}" + (f"; {problems}" * bool(problems))
    return f"{problems or 'slower'}{dearer}"


def _first(line: Line) -> str:
    return f"the weights fit in {line.gpu.memory_gib:g} GiB, within {TARGET_SECONDS:.0f} s"


def _dearer(line: Line, taken: Line) -> str:
    if line.usd is None or taken.usd is None or line is taken:
        return ""
    change = line.usd / taken.usd - 1
    word = "dearer" if change >= 0 else "cheaper"
    return f"; {abs(change) * 100:.0f} % {word} a picture than {taken.gpu.name}"
