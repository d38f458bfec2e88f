"""Makes the plan of a character sheet of what it is asked for. Pure."""

from collections.abc import Mapping

from config.models import ModelTable, WeightFile
from handlers.character_sheet import prompts
from handlers.character_sheet.combinations import Making, combination, scored_against
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.sheet_plan import (
    PlannedHead,
    PlannedIdentity,
    PlannedLora,
    PlannedReuse,
    PlannedSampling,
    PlannedView,
    PlannedWeight,
    SheetPlan,
    Thresholds,
)
from handlers.character_sheet.views import View
from handlers.kinds.checkpoint import checkpoint
from handlers.kinds.flux import DEFAULT_GUIDANCE
from handlers.kinds.requirements import LoraFile
from handlers.kinds.sdxl_weights import sdxl_weights
from handlers.kinds.seeds import derive_seed, output_seed, seed_from_id


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
        reuse=request.reuse and PlannedReuse(job=request.reuse.job, views=request.reuse.views),
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
        caption_parts=prompts.caption_parts(view, words),
        seeds=view_seeds(own, request.attempts_per_view),
        width=size.width,
        height=size.height,
        making=Making.COMPOSED if view.back else how.making,
    )


def view_seeds(seed: int, attempts: int) -> tuple[int, ...]:
    """The seed of each attempt at a view: the view's own first, those derived from it after."""
    return (seed, *(derive_seed(f"{seed}/try", number) for number in range(1, attempts)))
