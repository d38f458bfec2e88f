"""What a plan asks for, as jobs with their prices. Their ids follow from the run's name: a repeated
run sends nothing twice. Pure, but for references that go over HTTP as data URLs."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from config.errors import BadManifest, InvalidInput, OverBudget
from handlers.kinds.base import image_fields
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.acceptance.acceptance_plan import SAMPLED, Plan, PlannedLora
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.result import Result
from pipeline.jobs.manifest_files import Source
from pipeline.jobs.submit import Options, Prepared, prepare
from pipeline.runtime import RuntimeConfig

PROMPT = "a lighthouse in fog, 35mm"
"""Where a plan has none that fits."""
SIZE = ("width", "height")


class Stage(StrEnum):
    FLUX = "flux"
    LORA = "lora"
    FACE = "face"
    SHEET = "sheet"
    HTTP = "http"
    GPU = "gpu"


@dataclass(frozen=True)
class Job:
    """One job of a run; its id is made of the run's name, so that a later start finds it."""

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
            name: _data_url(folder / value.removeprefix("@")) if name in pictures else value
            for name, value in self.input.items()
        }


@dataclass(frozen=True)
class PricedJob:
    job: Job
    prepared: Prepared
    """Of a job over HTTP, only to be judged and priced."""
    estimate: costs.Estimate
    """For a warm GPU of its route, or the one that it must have."""


def bucket_jobs(plan: Plan, run: str) -> list[Job]:
    """Those that go through the inbox, in the order in which they are sent."""
    return [*_flux(plan, run), *_loras(plan, run), *_faces(plan, run), *_sheets(plan, run)]


def http_jobs(plan: Plan, run: str) -> list[Job]:
    """One of each kind."""
    kinds = plan.http.kinds
    if kinds is None:
        kinds = tuple(kind for kind in SAMPLED if plan.has_means_for(kind))
    return [
        Job(f"{run}-http-{kind}", Stage.HTTP, kind, _sample(plan, kind) | dict(plan.http.input))
        for kind in kinds
    ]


def gpu_jobs(plan: Plan, run: str, gpus: Sequence[str]) -> list[Job]:
    """All of one GPU before the next."""
    kind = plan.gpus.kind
    given = _sample(plan, kind) | dict(plan.gpus.input)
    return [
        Job(f"{run}-gpu-{_plain(gpu)}-{n:02}", Stage.GPU, kind, given, gpu)
        for gpu in gpus
        for n in range(1, plan.gpus.pictures + 1)
    ]


def _sample(plan: Plan, kind: str) -> dict[str, Any]:
    """The input of one job of a kind, with what the plan has for it."""
    if kind == "flux-lora" and plan.loras is not None:
        return _lora_input(plan, plan.loras.files[0])
    if kind.endswith("-instantid") and plan.faces is not None:
        part = plan.faces
        given = {"prompt": part.prompts[0], "reference_image": f"@{part.references[0]}"}
        return given | dict(part.input)
    if plan.flux is None:
        return {"prompt": PROMPT}
    own = plan.flux.input.items()
    fitting = {name: value for name, value in own if kind == "flux-dev" or name in SIZE}
    return {"prompt": plan.flux.prompts[0]} | fitting


def _flux(plan: Plan, run: str) -> Iterator[Job]:
    if plan.flux is None:
        return
    prompts = islice(cycle(plan.flux.prompts), plan.flux.pictures)
    for n, prompt in enumerate(prompts, start=1):
        given = {"prompt": prompt} | dict(plan.flux.input)
        yield Job(f"{run}-flux-dev-{n:02}", Stage.FLUX, "flux-dev", given)


def _loras(plan: Plan, run: str) -> Iterator[Job]:
    """Each once, and the first once more: by then it must not be pulled again."""
    if plan.loras is None:
        return
    files = plan.loras.files
    for n, lora in enumerate((*files, files[0]), start=1):
        name = next(iter(lora.fields.values()))
        given = _lora_input(plan, lora)
        yield Job(f"{run}-lora-{n:02}", Stage.LORA, "flux-lora", given, name)


def _lora_input(plan: Plan, lora: PlannedLora) -> dict[str, Any]:
    assert plan.loras is not None
    given = {"prompt": plan.loras.prompt} | lora.fields
    if lora.trigger_word:
        given["trigger_word"] = lora.trigger_word
    return given | dict(plan.loras.input)


def _faces(plan: Plan, run: str) -> Iterator[Job]:
    if plan.faces is None:
        return
    part = plan.faces
    for target in part.targets:
        kind, _, base = target.partition(" on ")
        own = {"base": base} if base else {}
        taken = zip(part.references, cycle(part.prompts), strict=False)
        for n, (reference, prompt) in enumerate(taken, start=1):
            given = {"prompt": prompt, "reference_image": f"@{reference}"} | dict(part.input)
            yield Job(f"{run}-face-{base or kind}-{n:02}", Stage.FACE, kind, given | own, target)


def _sheets(plan: Plan, run: str) -> Iterator[Job]:
    """The same person on each base."""
    if plan.sheets is None:
        return
    part = plan.sheets
    common = {
        "name": run,
        "description": part.description,
        "reference_images": [f"@{reference}" for reference in part.references],
    }
    for base in part.bases:
        given = common | {"base": base} | dict(part.input)
        yield Job(f"{run}-sheet-{base}", Stage.SHEET, "character-sheet", given, base)


def _plain(gpu: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in gpu.lower()).strip("-")


def _data_url(picture: Path) -> str:
    kind = picture.suffix[1:].lower().replace("jpg", "jpeg")
    return f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def priced(
    jobs: Iterable[Job], folder: Path, tenant: str, runtime: RuntimeConfig
) -> list[PricedJob]:
    """Ready to be sent. Raises the first thing that is wrong with a job, before any is sent: a
    BadManifest or InvalidInput that names the part of the plan, InvalidSetting."""
    return [_priced(job, folder, tenant, runtime) for job in jobs]


def _priced(job: Job, folder: Path, tenant: str, runtime: RuntimeConfig) -> PricedJob:
    try:
        prepared = prepare(job.source(folder), Options(tenant=tenant))
    except (BadManifest, InvalidInput) as error:
        error.message = f"{_part(job)}: {error.message}"
        raise
    kind = KINDS[job.model]
    route = runtime.routes.route(kind.route)
    gpu = runtime.gpus.gpu(job.subject if job.stage is Stage.GPU else route.gpus[0])
    request = parse_manifest(prepared.body).input
    estimate = costs.job_estimate(kind, request, gpu, runtime.routes, runtime.gpus)
    return PricedJob(job, prepared, estimate)


def _part(job: Job) -> str:
    """Where the plan says it."""
    parts = {
        Stage.LORA: "loras",
        Stage.FACE: "faces",
        Stage.SHEET: "sheets",
        Stage.GPU: "gpus",
    }
    return f"[{parts.get(job.stage, job.stage.value)}] {job.model}"


def spent_usd(results: Iterable[Result | None]) -> float:
    """With their lost attempts."""
    costs = (each.cost for each in results if each is not None)
    return sum(cost.total_usd for cost in costs if cost is not None)


def expected_usd(coming: Iterable[PricedJob]) -> float:
    """Of those whose cost can be told."""
    return sum(each.estimate.usd or 0.0 for each in coming)


def most_usd(coming: Iterable[PricedJob]) -> float:
    """As `expected_usd`, with all the tries that they may take."""
    return sum(each.estimate.most_usd or 0.0 for each in coming)


def over(
    bound_usd: float | None, spent_usd: float, coming: Iterable[PricedJob]
) -> OverBudget | None:
    """The refusal where what was spent and what these are expected to cost exceed the bound; None
    without a bound. Jobs whose cost nobody can tell count as free here."""
    expected = expected_usd(coming)
    if bound_usd is None or spent_usd + expected <= bound_usd:
        return None
    return OverBudget(
        f"${spent_usd:.4f} are spent and ${expected:.4f} are expected for what is to come: more"
        f" than ${bound_usd:g}",
        field="--max-cost-usd",
        value=bound_usd,
        hint="Allow more, or plan fewer pictures. Cold starts come on top of the estimate.",
    )


@dataclass(frozen=True)
class Forecast:
    """Before anything is sent."""

    jobs: int
    """Of the whole run."""
    there: int
    """Sent by an earlier start of this run."""
    spent_usd: float
    coming: Sequence[PricedJob]
    """To be paid yet: not sent, or on their way."""
    bound_usd: float | None

    @property
    def expected_usd(self) -> float:
        """On warm GPUs, of the jobs whose cost can be told."""
        return expected_usd(self.coming)

    @property
    def most_usd(self) -> float:
        """With all the tries that they may take."""
        return most_usd(self.coming)

    @property
    def untold(self) -> int:
        """Jobs whose cost nobody can tell."""
        return sum(each.estimate.usd is None for each in self.coming)

    @property
    def gpus(self) -> list[str]:
        """That the estimate is for."""
        return list(dict.fromkeys(each.estimate.gpu for each in self.coming))

    def require_affordable(self) -> None:
        """Raises OverBudget, also for a job whose cost nobody can tell, where there is a bound."""
        unknown = next((each for each in self.coming if each.estimate.usd is None), None)
        refusal = over(self.bound_usd, self.spent_usd, self.coming)
        if self.bound_usd is not None and unknown is not None:
            refusal = OverBudget(
                f"no estimate can be made of {unknown.job.id} on {unknown.estimate.gpu}, so the"
                f" bound of ${self.bound_usd:g} cannot be kept",
                field="--max-cost-usd",
                value=self.bound_usd,
                hint="Leave the bound out, or give the GPU's rates in RYLA_GPUS_FILE.",
            )
        if refusal is not None:
            raise refusal

    def document(self) -> dict[str, Any]:
        return {
            "jobs": self.jobs,
            "there": self.there,
            "spent_usd": round(self.spent_usd, 6),
            "expected_usd": round(self.expected_usd, 6),
            "most_usd": round(self.most_usd, 6),
            "untold": self.untold,
            "gpus": self.gpus,
            "max_cost_usd": self.bound_usd,
        }
