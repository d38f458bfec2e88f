"""The graphs of a sheet's steps, out of its plan alone. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from handlers.character_sheet.combinations import Making
from handlers.character_sheet.sheet_plan import (
    PlannedSampling,
    PlannedView,
    PlannedWeight,
    SheetPlan,
)
from handlers.faces.boxes import Box
from workflows import flux, instantid, sdxl, zimage
from workflows.graph import Graph
from workflows.instantid import Crop, Identity, Sampling

NOT_UPLOADED = "reference.png"
"""Stands for input files in graphs that are only judged."""
_JUDGED_BOX = Box(0, 0, 512, 512)


def composition(
    plan: SheetPlan, view: PlannedView, k: int, prefix: str, lora: str | None = None
) -> Graph:
    """What the base model makes alone. `lora` is the file's name for ComfyUI's loader."""
    files, seed = names(plan.composition_weights), view.seeds[k - 1]
    adapted = None if plan.lora is None or lora is None else (lora, plan.lora.strength)
    if plan.base == "flux-dev":
        return flux.text_to_image(
            files,
            prompt=view.prompt,
            width=view.width,
            height=view.height,
            steps=plan.sampling.steps,
            guidance=plan.sampling.guidance,
            seed=seed,
            filename_prefix=prefix,
            lora=adapted,
        )
    if plan.base == "z-image-turbo":
        return zimage.text_to_image(
            files,
            prompt=view.prompt,
            width=view.width,
            height=view.height,
            steps=plan.sampling.steps,
            seed=seed,
            filename_prefix=prefix,
            lora=adapted,
        )
    return sdxl.text_to_image(
        files,
        prompt=view.prompt,
        negative_prompt=view.negative_prompt,
        width=view.width,
        height=view.height,
        sampling=_sampling(plan.sampling, seed),
        filename_prefix=prefix,
        lora=adapted,
    )


def one_pass(
    plan: SheetPlan,
    view: PlannedView,
    k: int,
    prefix: str,
    *,
    references: Sequence[str],
    landmarks: str,
    lora: str | None = None,
) -> Graph:
    """A view by SDXL with InstantID, the head turned as drawn."""
    return instantid.text_to_image(
        names(plan.composition_weights),
        prompt=view.prompt,
        negative_prompt=view.negative_prompt,
        width=view.width,
        height=view.height,
        identity=_identity(plan, references),
        sampling=_sampling(plan.sampling, view.seeds[k - 1]),
        filename_prefix=prefix,
        landmarks=landmarks,
        lora=None if plan.lora is None or lora is None else (lora, plan.lora.strength),
    )


def face_pass(
    plan: SheetPlan,
    view: PlannedView,
    k: int,
    prefix: str,
    *,
    picture: str,
    box: Box,
    references: Sequence[str],
    landmarks: str | None = None,
) -> Graph:
    """The face in what was composed, made anew by SDXL with InstantID.

    `landmarks` are drawn for the crop `box`; without them the crop itself is the pose.
    """
    assert plan.face_sampling is not None
    return instantid.face_pass(
        names(plan.face_weights),
        picture=picture,
        crop=Crop(box.x, box.y, box.width, box.height),
        prompt=view.prompt,
        negative_prompt=view.negative_prompt,
        identity=_identity(plan, references),
        sampling=_sampling(plan.face_sampling, view.seeds[k - 1]),
        filename_prefix=prefix,
        landmarks=landmarks,
    )


def judged(plan: SheetPlan) -> Iterator[Graph]:
    """One graph of each sort that the plan has, for validation before anything runs."""
    lora = None if plan.lora is None else plan.lora.key.rpartition("/")[2]
    first = {view.making: view for view in reversed(plan.views)}
    for making, view in first.items():
        if making is Making.INSTANTID:
            yield one_pass(
                plan,
                view,
                1,
                "judged",
                references=_judged_references(plan),
                landmarks=NOT_UPLOADED,
                lora=lora,
            )
            continue
        yield composition(plan, view, 1, "judged", lora)
        if making is Making.FACE_PASS:
            yield face_pass(
                plan,
                view,
                1,
                "judged",
                picture=NOT_UPLOADED,
                box=_JUDGED_BOX,
                references=_judged_references(plan),
                landmarks=NOT_UPLOADED if plan.face_landmarks else None,
            )


def names(weights: Mapping[str, PlannedWeight]) -> Mapping[str, str]:
    """Role → file."""
    return {role: weight.file for role, weight in weights.items()}


def sha256s(weights: Mapping[str, PlannedWeight]) -> Mapping[str, str | None]:
    return {weight.file: weight.sha256 for weight in weights.values()}


def _judged_references(plan: SheetPlan) -> list[str]:
    return [NOT_UPLOADED] * len(plan.references)


def _identity(plan: SheetPlan, references: Sequence[str]) -> Identity:
    """By the names of the uploaded references, which all say who it is."""
    return Identity(
        reference=references[0],
        further=tuple(references[1:]),
        strength=plan.identity.strength,
        controlnet_strength=plan.identity.controlnet_strength,
    )


def _sampling(planned: PlannedSampling, seed: int) -> Sampling:
    return Sampling(
        seed=seed,
        steps=planned.steps,
        cfg=planned.cfg if planned.cfg is not None else 7.0,
        sampler_name=planned.sampler_name or "euler",
        scheduler=planned.scheduler or "normal",
        denoise=planned.denoise,
    )
