"""What a sheet will make, to the last seed: fixed by its first execution, read by every later one.

All that steers the making stands here, so a deploy in the middle of a sheet changes nothing.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from config.tables import ModelTable, WeightFile
from handlers.character_sheet import prompts
from handlers.character_sheet.combinations import (
    Making,
    ScoredAgainst,
    combination,
    scored_against,
)
from handlers.character_sheet.input import BaseName, CharacterSheetInput
from handlers.character_sheet.views import View
from handlers.faces.head import Head
from handlers.faces.view import IDENTITY_TO, LEAST_FACE, AskedView, Framing
from handlers.kinds.base import OutputFormat
from handlers.kinds.checkpoint import checkpoint
from handlers.kinds.flux import DEFAULT_GUIDANCE
from handlers.kinds.requirements import LoraFile
from handlers.kinds.sdxl_weights import sdxl_weights
from handlers.kinds.seeds import derive_seed, output_seed, seed_from_id

VERSION = 1
FACE_PADDING = 2.0
"""The square that a face pass makes anew, in lengths of the face."""


class _Part(BaseModel):
    """Fields of a later version are passed over: a plan outlives the code that wrote it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class PlannedHead(_Part):
    """Degrees, as of `handlers.faces.head.Head`."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


class PlannedWeight(_Part):
    file: str
    """As ComfyUI names it."""
    sha256: str | None = None
    """Null where models.toml has none."""


class PlannedLora(_Part):
    key: str
    sha256: str
    strength: float


class PlannedSampling(_Part):
    """Of one pass. What is null is not the caller's to steer: the graph has it."""

    steps: int
    cfg: float | None = None
    guidance: float | None = None
    sampler_name: str | None = None
    scheduler: str | None = None
    denoise: float = 1.0


class PlannedIdentity(_Part):
    """InstantID's strengths."""

    strength: float
    controlnet_strength: float


class Thresholds(_Part):
    """What a view must reach to be kept at once."""

    min_face_match: Annotated[float, Field(ge=0, le=1)] | None = None
    """Null keeps any face."""
    identity_to: float = IDENTITY_TO
    """Degrees of yaw to either side, beyond which a face's likeness is not judged."""
    least_face: int = LEAST_FACE
    """Pixels of a face's shorter side, below which it is not judged."""


class PlannedView(_Part):
    nn: Annotated[int, Field(ge=1)]
    """Its place in the sheet, from 1."""
    id: str
    head: PlannedHead | None
    """Null for a back view."""
    framing: Framing
    prompt: str
    negative_prompt: str
    """For SDXL, whichever pass it makes; other models take none."""
    caption: str
    """For a trainer."""
    seeds: tuple[int, ...]
    """Of attempt 1, 2 …, for composition and face alike."""
    width: int
    height: int
    making: Making

    @property
    def name(self) -> str:
        """Of its records and files, such as `01-front`."""
        return f"{self.nn:02d}-{self.id}"

    @property
    def back(self) -> bool:
        return self.head is None

    @property
    def asked(self) -> AskedView:
        head = self.head
        turned = None if head is None else Head(head.yaw, head.pitch, head.roll)
        return AskedView(turned, self.framing)

    @property
    def composes(self) -> bool:
        """Whether the base model composes it first; SDXL with InstantID makes it in one pass."""
        return self.making is not Making.INSTANTID

    @property
    def face_pass(self) -> bool:
        """Whether InstantID makes its face."""
        return self.making is not Making.COMPOSED


class SheetPlan(_Part):
    v: int = VERSION
    job_id: str
    name: str
    """The character's: text of the caller's, to be escaped wherever it is shown."""
    base: BaseName
    making: Making
    """Of the views with a face; each view has its own."""
    references: tuple[str, ...] = ()
    """Keys of pictures."""
    profiles_apart: bool = False
    """Whether references in profile serve for views from their side alone; not so in plans that
    were written before they did."""
    lora: PlannedLora | None = None
    trigger_word: str = ""
    """As used: the caller's, or the one stored beside the LoRA."""
    composition_weights: Mapping[str, PlannedWeight]
    """Role → file of the first pass; with `instantid` and `controlnet` where it is the only one."""
    face_weights: Mapping[str, PlannedWeight] = {}
    """Of the face pass; empty without one."""
    sampling: PlannedSampling
    face_sampling: PlannedSampling | None = None
    face_padding: float = FACE_PADDING
    face_landmarks: bool = False
    """Whether the face pass is given the asked head, drawn where the composed face was found; not
    so in plans that were written before it was."""
    identity: PlannedIdentity
    views: tuple[PlannedView, ...]
    thresholds: Thresholds
    attempts_per_view: int
    min_views: int
    scored_against: ScoredAgainst
    output_format: OutputFormat = "png"
    nsfw: bool = False

    def body(self) -> bytes:
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def parse(cls, body: bytes) -> Self | None:
        """None for what is no plan."""
        try:
            return cls.model_validate_json(body)
        except ValueError:
            return None


def plan_sheet(
    request: CharacterSheetInput,
    job_id: str,
    models: ModelTable,
    lora: LoraFile | None = None,
) -> SheetPlan:
    """The plan of a job. Equal arguments give an equal plan, byte for byte.

    `lora` is None where none is asked for, or where it was not fetched because the plan is only to
    be judged. Raises MissingModel when models.toml lacks a weight file.
    """
    how = combination(
        request.base, references=bool(request.reference_images), lora=request.lora is not None
    )
    words = sheet_words(request, lora)
    views = request.chosen_views
    has_front = any(prompts.angle(view.asked_head) == "front" for view in views)
    return SheetPlan(
        job_id=job_id,
        name=prompts.plain(request.name),
        base=request.base,
        making=how.making,
        references=request.reference_images,
        profiles_apart=bool(request.reference_images),
        lora=lora and PlannedLora(key=lora.key, sha256=lora.sha256, strength=request.lora_strength),
        trigger_word=words.trigger_word,
        composition_weights=_planned(composition_weights(request, models)),
        face_weights=_planned(face_weights(request, models)),
        sampling=_sampling(request),
        face_sampling=_face_sampling(request) if how.making is Making.FACE_PASS else None,
        face_landmarks=how.making is Making.FACE_PASS,
        identity=PlannedIdentity(
            strength=request.instantid_strength, controlnet_strength=request.controlnet_strength
        ),
        views=tuple(
            _planned_view(request, job_id, view, nn, words) for nn, view in enumerate(views, 1)
        ),
        thresholds=Thresholds(min_face_match=request.min_face_match),
        attempts_per_view=request.attempts_per_view,
        min_views=request.least_views,
        scored_against=scored_against(
            references=bool(request.reference_images), front_view=has_front
        ),
        output_format=request.output_format,
        nsfw=request.nsfw,
    )


def sheet_words(request: CharacterSheetInput, lora: LoraFile | None = None) -> prompts.SheetWords:
    """The caller's texts that all views share."""
    stored = lora.trigger_word if lora else ""
    trigger = stored if request.trigger_word is None else request.trigger_word
    return prompts.SheetWords(
        description=request.description,
        trigger_word=prompts.plain(trigger),
        outfit=request.outfit,
        background=request.background,
        style=request.style,
        negative_prompt=request.negative_prompt,
    )


def composition_weights(
    request: CharacterSheetInput, models: ModelTable
) -> Mapping[str, WeightFile]:
    """Role → file of the first pass. Raises MissingModel."""
    if request.base == "z-image-turbo":
        return models.weights("z-image-turbo")
    if request.base == "flux-dev":
        return checkpoint(models, nsfw=request.nsfw)
    weights = sdxl_weights(request.sdxl_checkpoint, models)
    return weights if request.reference_images else {"checkpoint": weights["checkpoint"]}


def face_weights(request: CharacterSheetInput, models: ModelTable) -> Mapping[str, WeightFile]:
    """Role → file of the face pass, empty without one. Raises MissingModel."""
    if request.base == "sdxl" or not request.reference_images:
        return {}
    return sdxl_weights(request.sdxl_checkpoint, models)


def _planned(weights: Mapping[str, WeightFile]) -> dict[str, PlannedWeight]:
    return {
        role: PlannedWeight(file=weight.file, sha256=weight.sha256)
        for role, weight in weights.items()
    }


def _sampling(request: CharacterSheetInput) -> PlannedSampling:
    steps = request.base_steps
    if request.base == "sdxl":
        return PlannedSampling(
            steps=steps, cfg=request.cfg, sampler_name="euler", scheduler="normal"
        )
    if request.base == "flux-dev":
        guidance = DEFAULT_GUIDANCE if request.guidance is None else request.guidance
        return PlannedSampling(steps=steps, guidance=guidance)
    return PlannedSampling(steps=steps)


def _face_sampling(request: CharacterSheetInput) -> PlannedSampling:
    return PlannedSampling(
        steps=request.face_steps,
        cfg=request.face_cfg,
        sampler_name="euler",
        scheduler="karras",
        denoise=request.denoise,
    )


def _planned_view(
    request: CharacterSheetInput, job_id: str, view: View, nn: int, words: prompts.SheetWords
) -> PlannedView:
    seed = seed_from_id(job_id) if request.seed is None else request.seed
    own = output_seed(seed, nn - 1) if request.seeds == "per-view" else seed
    size = request.sizes.of(view.framing)
    head = view.asked_head
    how = combination(
        request.base, references=bool(request.reference_images), lora=request.lora is not None
    )
    return PlannedView(
        nn=nn,
        id=view.id,
        head=head and PlannedHead(yaw=head.yaw, pitch=head.pitch, roll=head.roll),
        framing=view.framing,
        prompt=prompts.prompt(view, words),
        negative_prompt=prompts.negative_prompt(view, words),
        caption=prompts.caption(view, words),
        seeds=view_seeds(own, request.attempts_per_view),
        width=size.width,
        height=size.height,
        making=Making.COMPOSED if view.back else how.making,
    )


def view_seeds(seed: int, attempts: int) -> tuple[int, ...]:
    """The seed of each attempt at a view: the view's own first, those derived from it after."""
    return (seed, *(derive_seed(f"{seed}/try", number) for number in range(1, attempts)))
