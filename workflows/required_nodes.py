"""The node classes that our graphs are made of, and the packs that have them."""

from collections.abc import Mapping
from types import MappingProxyType

CORE = "ComfyUI"
INSTANTID = "ComfyUI_InstantID"

NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        CORE: (
            "CLIPLoader",
            "CLIPTextEncode",
            "CheckpointLoaderSimple",
            "ConditioningZeroOut",
            "ControlNetLoader",
            "DualCLIPLoader",
            "EmptyLatentImage",
            "EmptySD3LatentImage",
            "FeatherMask",
            "FluxGuidance",
            "ImageBatch",
            "ImageCompositeMasked",
            "ImageCrop",
            "ImageScale",
            "KSampler",
            "LoadImage",
            "LoraLoaderModelOnly",
            "ModelSamplingAuraFlow",
            "SaveImage",
            "SetLatentNoiseMask",
            "SolidMask",
            "UNETLoader",
            "VAEDecode",
            "VAEEncode",
            "VAELoader",
        ),
        INSTANTID: ("ApplyInstantIDAdvanced", "InstantIDFaceAnalysis", "InstantIDModelLoader"),
    }
)
"""Pack → classes."""

ALL = frozenset(name for names in NEEDED.values() for name in names)
