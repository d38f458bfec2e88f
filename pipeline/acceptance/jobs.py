"""What a plan asks for, as jobs. Their ids follow from the run's name: a repeated run sends nothing
twice. Pure, but for references that go over HTTP as data URLs."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from handlers.kinds.base import image_fields
from handlers.kinds.registry import KINDS
from pipeline.acceptance.plan import SAMPLED, FacePart, Plan, PlannedLora
from pipeline.jobs.manifest_files import Source

PROMPT = "a lighthouse in fog, 35mm"
"""Where a plan has none that fits."""
SIZE = ("width", "height")


class Stage(StrEnum):
    FLUX = "flux"
    LORA = "lora"
    FACE = "face"
    HTTP = "http"
    GPU = "gpu"


@dataclass(frozen=True)
class Job:
    id: str
    """Over HTTP, its Idempotency-Key: the server makes the id."""
    stage: Stage
    model: str
    input: Mapping[str, Any] = field(default_factory=dict)
    """Pictures are `@` and a path."""
    subject: str = ""
    """What is looked at in its stage: a LoRA, a target, a GPU."""

    def source(self, folder: Path) -> Source:
        """As `ryla submit` would read it."""
        document = {"version": 1, "model": self.model, "input": self.input}
        return Source(self.id, folder, json.dumps(document).encode(), self.id)

    def body(self, folder: Path) -> dict[str, Any]:
        """What is posted."""
        pictures = set(image_fields(KINDS[self.model].input_model))
        return {
            name: data_url(folder / value.removeprefix("@")) if name in pictures else value
            for name, value in self.input.items()
        }


def jobs_of(plan: Plan, run: str) -> list[Job]:
    """Those that go through the bucket, in the order in which they are sent."""
    return [*_flux(plan, run), *_loras(plan, run), *_faces(plan, run)]


def http_jobs(plan: Plan, run: str) -> list[Job]:
    """One of each kind."""
    kinds = plan.http.kinds
    if kinds is None:
        kinds = tuple(kind for kind in SAMPLED if plan.has_means_for(kind))
    return [
        Job(f"{run}-http-{kind}", Stage.HTTP, kind, sample(plan, kind) | dict(plan.http.input))
        for kind in kinds
    ]


def gpu_jobs(plan: Plan, run: str, gpus: Sequence[str]) -> list[Job]:
    """All of one GPU before the next."""
    part = plan.gpus
    given = sample(plan, part.kind) | dict(part.input)
    return [
        Job(_id(run, f"gpu-{_plain(gpu)}", n), Stage.GPU, part.kind, given, gpu)
        for gpu in gpus
        for n in range(1, part.pictures + 1)
    ]


def sample(plan: Plan, kind: str) -> dict[str, Any]:
    """The input of one job of a kind, with what the plan has for it."""
    if kind == "flux-lora" and plan.loras is not None:
        return _lora_input(plan, plan.loras.files[0])
    if kind.endswith("-instantid") and plan.faces is not None:
        part = plan.faces
        given = {"prompt": part.prompts[0], "reference_image": f"@{part.references[0]}"}
        return given | dict(part.input)
    given = {"prompt": plan.flux.prompts[0] if plan.flux else PROMPT}
    own = dict(plan.flux.input) if plan.flux else {}
    return given | (
        own if kind == "flux-dev" else {name: own[name] for name in SIZE if name in own}
    )


def _flux(plan: Plan, run: str) -> Iterator[Job]:
    if plan.flux is None:
        return
    prompts = islice(cycle(plan.flux.prompts), plan.flux.pictures)
    for n, prompt in enumerate(prompts, start=1):
        given = {"prompt": prompt} | dict(plan.flux.input)
        yield Job(_id(run, "flux-dev", n), Stage.FLUX, "flux-dev", given)


def _loras(plan: Plan, run: str) -> Iterator[Job]:
    """Each once, and the first once more: by then it must not be pulled again."""
    if plan.loras is None:
        return
    files = plan.loras.files
    for n, lora in enumerate((*files, files[0]), start=1):
        name = next(iter(lora.fields.values()))
        yield Job(_id(run, "lora", n), Stage.LORA, "flux-lora", _lora_input(plan, lora), name)


def _lora_input(plan: Plan, lora: PlannedLora) -> dict[str, Any]:
    assert plan.loras is not None
    given = {"prompt": plan.loras.prompt} | lora.fields
    if lora.trigger_word:
        given["trigger_word"] = lora.trigger_word
    return given | dict(plan.loras.input)


def _faces(plan: Plan, run: str) -> Iterator[Job]:
    part = plan.faces
    for target in part.targets if part else ():
        assert part is not None
        kind, _, base = target.partition(" on ")
        name = "face-" + (base or kind)
        for n, given in enumerate(_sittings(part), start=1):
            own = {"base": base} if base else {}
            yield Job(_id(run, name, n), Stage.FACE, kind, given | own, target)


def _sittings(part: FacePart) -> Iterator[dict[str, Any]]:
    for reference, prompt in zip(part.references, cycle(part.prompts), strict=False):
        yield {"prompt": prompt, "reference_image": f"@{reference}"} | dict(part.input)


def _id(run: str, name: str, n: int) -> str:
    return f"{run}-{name}-{n:02}"


def _plain(gpu: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in gpu.lower()).strip("-")


def data_url(picture: Path) -> str:
    kind = picture.suffix[1:].lower().replace("jpg", "jpeg")
    return f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"
