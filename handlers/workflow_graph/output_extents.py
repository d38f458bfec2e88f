"""The extent of what a node puts out, from those of what goes in.

As ComfyUI 0.33.0's nodes of the allow-list have it. Where that depends on what is not known, the
extent is the largest that it can be.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil, inf, sqrt
from types import MappingProxyType

from handlers.workflow_graph.extents import MEGAPIXEL, Extent, Inputs, Size, extent, number, runs

Rule = Callable[[Inputs], tuple[Extent, ...]]

_CARRIED = (
    *("IMAGE", "MASK", "LATENT", "VIDEO"),
    *("SIGMAS", "CONDITIONING", "MODEL", "GUIDER", "SAMPLER"),
)
_LOADS = ("LoadImage", "LoadImageMask")


def outputs(
    class_type: str, types: Sequence[str], inputs: Inputs, size: Size
) -> tuple[Extent, ...]:
    """Of each of its outputs, whose types are `types`; `size` is that of the picture it loads."""
    if class_type in _LOADS:
        # Without an alpha channel the mask is one of 64 x 64.
        mask = Extent(max(size[0], 64), max(size[1], 64), ratio_known=False)
        return (mask,) if types == ("MASK",) else (Extent(*size), mask)
    rule = _RULES.get(class_type)
    if rule is not None:
        return rule(inputs)
    return tuple(_by_type(kind, inputs) for kind in types)


def _by_type(kind: str, inputs: Inputs) -> Extent:
    """Of a node without a rule: as large as the largest that goes in."""
    given = [each for each in inputs.values() if isinstance(each, Extent)]
    if kind not in _CARRIED or not given:
        return Extent(steps=number(inputs, "steps"))
    sizes = {(each.width, each.height) for each in given if each.width}
    return Extent(
        width=max(each.width for each in given),
        height=max(each.height for each in given),
        batch=max(each.batch for each in given),
        ratio_known=len(sizes) <= 1 and all(each.ratio_known for each in given),
        steps=max(number(inputs, "steps"), *(each.steps for each in given)),
        texts=max(each.texts for each in given),
        passes=max(each.passes for each in given),
    )


def _guider(inputs: Inputs) -> tuple[Extent, ...]:
    conditions = [
        each.passes for name, each in inputs.items() if isinstance(each, Extent) and name != "model"
    ]
    return (Extent(passes=sum(conditions) + extent(inputs, "model").passes - 1),)


def _new(inputs: Inputs) -> tuple[Extent, ...]:
    width, height = number(inputs, "width", 512), number(inputs, "height", 512)
    return (Extent(width, height, number(inputs, "batch_size", 1)),)


def _keeps(name: str, outputs: int = 1) -> Rule:
    """As large as what comes in by one input, whatever is put on it."""

    def rule(inputs: Inputs) -> tuple[Extent, ...]:
        batch = max((each.batch for each in inputs.values() if isinstance(each, Extent)), default=1)
        return (replace(extent(inputs, name), batch=batch),) * outputs

    return rule


def _scaled(name: str) -> Rule:
    """To a width and a height, of which a 0 follows from the other; two keep the size."""

    def rule(inputs: Inputs) -> tuple[Extent, ...]:
        given = extent(inputs, name)
        width, height = number(inputs, "width"), number(inputs, "height")
        if not width and not height:
            return (given,)
        return (
            replace(
                given,
                width=width or _following(given.width, height, given.height, given.ratio_known),
                height=height or _following(given.height, width, given.width, given.ratio_known),
                ratio_known=True,
            ),
        )

    return rule


def _following(side: float, other: float, from_other: float, ratio_known: bool) -> float:
    if not ratio_known:
        return inf
    return max(1.0, side * other / from_other) if from_other else other


def _scaled_by(name: str) -> Rule:
    def rule(inputs: Inputs) -> tuple[Extent, ...]:
        given, by = extent(inputs, name), number(inputs, "scale_by", 1)
        return (replace(given, width=ceil(given.width * by), height=ceil(given.height * by)),)

    return rule


def _scaled_to_total(inputs: Inputs) -> tuple[Extent, ...]:
    given, wanted = extent(inputs, "image"), number(inputs, "megapixels", 1) * MEGAPIXEL
    by = sqrt(wanted / max(1.0, given.width * given.height))
    step = max(1.0, number(inputs, "resolution_steps", 1))
    return (
        replace(
            given,
            width=ceil(given.width * by / step) * step,
            height=ceil(given.height * by / step) * step,
        ),
    )


def _repeated(name: str) -> Rule:
    def rule(inputs: Inputs) -> tuple[Extent, ...]:
        given = extent(inputs, name)
        return (replace(given, batch=given.batch * max(1.0, number(inputs, "amount", 1))),)

    return rule


def _part_of_batch(name: str) -> Rule:
    def rule(inputs: Inputs) -> tuple[Extent, ...]:
        given = extent(inputs, name)
        return (replace(given, batch=min(given.batch, number(inputs, "length", given.batch))),)

    return rule


def _cropped(name: str, least: float = 1) -> Rule:
    """What of the wanted part lies inside; ComfyUI moves a corner that does not."""

    def rule(inputs: Inputs) -> tuple[Extent, ...]:
        given = extent(inputs, name)

        def side(whole: float, wanted: str, at: str) -> float:
            left = 0.0 if not given.ratio_known else min(number(inputs, at), whole - least)
            return max(least, min(number(inputs, wanted, whole), whole - left))

        width, height = side(given.width, "width", "x"), side(given.height, "height", "y")
        return (replace(given, width=width, height=height),)

    return rule


def _turned(name: str) -> Rule:
    def rule(inputs: Inputs) -> tuple[Extent, ...]:
        given = extent(inputs, name)
        if str(inputs.get("rotation", "")).startswith(("90", "270")):
            return (replace(given, width=given.height, height=given.width),)
        return (given,)

    return rule


def _padded(inputs: Inputs) -> tuple[Extent, ...]:
    given = extent(inputs, "image")
    grown = replace(
        given,
        width=given.width + number(inputs, "left") + number(inputs, "right"),
        height=given.height + number(inputs, "top") + number(inputs, "bottom"),
    )
    return grown, replace(grown, batch=1)


def _batched(inputs: Inputs) -> tuple[Extent, ...]:
    """The second is scaled to the size of the first."""
    first, second = extent(inputs, "image1"), extent(inputs, "image2")
    return (replace(first, batch=first.batch + second.batch),)


def _stitched(inputs: Inputs) -> tuple[Extent, ...]:
    first, second = extent(inputs, "image1"), extent(inputs, "image2")
    if not second.width:
        return (first,)
    upright = inputs.get("direction") in ("up", "down")
    gap = number(inputs, "spacing_width")
    gap += gap % 2
    if inputs.get("match_image_size", 1.0) == 1.0:
        known = first.ratio_known and second.ratio_known
        if upright:
            high = _following(second.height, first.width, second.width, known)
            second = replace(second, width=first.width, height=high)
        else:
            wide = _following(second.width, first.height, second.height, known)
            second = replace(second, width=wide, height=first.height)
    sides = (first.width, second.width), (first.height, second.height)
    wide, high = (max(sides[0]), sum(sides[1]) + gap) if upright else (
        sum(sides[0]) + gap, max(sides[1]))  # fmt: skip
    return (
        Extent(
            wide, high, max(first.batch, second.batch), first.ratio_known and second.ratio_known
        ),
    )


def _joined(inputs: Inputs) -> tuple[Extent, ...]:
    """ConditioningCombine runs the model for each, ConditioningConcat makes one text of both."""
    given = [each for each in inputs.values() if isinstance(each, Extent)]
    texts = sum(each.texts for each in given)
    return (Extent(texts=texts, passes=max(texts, sum(each.passes for each in given))),)


def _steered(inputs: Inputs) -> tuple[Extent, ...]:
    """A ControlNet runs beside the model, once for each text."""

    def more(name: str) -> Extent:
        given = extent(inputs, name)
        return replace(given, passes=given.passes + given.texts)

    return more("positive"), more("negative")


def _instantid(inputs: Inputs) -> tuple[Extent, ...]:
    return (extent(inputs, "model"), *_steered(inputs))


def _guided(inputs: Inputs) -> tuple[Extent, ...]:
    given = extent(inputs, "model")
    return (replace(given, passes=given.passes + 1),)


def _inpainting(inputs: Inputs) -> tuple[Extent, ...]:
    return extent(inputs, "positive"), extent(inputs, "negative"), extent(inputs, "pixels")


def _chosen_sampler(inputs: Inputs) -> tuple[Extent, ...]:
    return (Extent(passes=runs(inputs)),)


_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(("EmptyImage", "EmptyLatentImage", "EmptySD3LatentImage"), _new),
        "SolidMask": _new,
        **dict.fromkeys(("BasicGuider", "CFGGuider", "DualCFGGuider"), _guider),
        **dict.fromkeys(("ConditioningCombine", "ConditioningConcat"), _joined),
        **dict.fromkeys(("ControlNetApplyAdvanced", "ApplyInstantIDControlNet"), _steered),
        **dict.fromkeys(("ApplyInstantID", "ApplyInstantIDAdvanced"), _instantid),
        **dict.fromkeys(("PerturbedAttentionGuidance", "SelfAttentionGuidance"), _guided),
        **dict.fromkeys(
            ("ImageCompositeMasked", "LatentCompositeMasked", "MaskComposite"),
            _keeps("destination"),
        ),
        **dict.fromkeys(("KSampler", "KSamplerAdvanced"), _keeps("latent_image")),
        **dict.fromkeys(
            ("SamplerCustom", "SamplerCustomAdvanced", "ClownsharKSampler_Beta"),
            _keeps("latent_image", 2),
        ),
        **dict.fromkeys(("VAEEncode", "VAEEncodeForInpaint", "VAEEncodeTiled"), _keeps("pixels")),
        "CropMask": _cropped("mask"),
        "ImageBatch": _batched,
        "ImageBlend": _keeps("image1"),
        "ImageCrop": _cropped("image"),
        "ImageFromBatch": _part_of_batch("image"),
        "ImagePadForOutpaint": _padded,
        "ImageRotate": _turned("image"),
        "ImageScale": _scaled("image"),
        "ImageScaleBy": _scaled_by("image"),
        "ImageScaleToTotalPixels": _scaled_to_total,
        "ImageStitch": _stitched,
        "InpaintModelConditioning": _inpainting,
        "JoinImageWithAlpha": _keeps("image"),
        "KSamplerSelect": _chosen_sampler,
        "LatentBlend": _keeps("samples1"),
        "LatentComposite": _keeps("samples_to"),
        "LatentCrop": _cropped("samples", 64),
        "LatentFromBatch": _part_of_batch("samples"),
        "LatentRotate": _turned("samples"),
        "LatentUpscale": _scaled("samples"),
        "LatentUpscaleBy": _scaled_by("samples"),
        "RepeatImageBatch": _repeated("image"),
        "RepeatLatentBatch": _repeated("samples"),
        "SamplerDPMPP_SDE": lambda _: (Extent(passes=2),),
        "SetLatentNoiseMask": _keeps("samples"),
    }
)  # fmt: skip
