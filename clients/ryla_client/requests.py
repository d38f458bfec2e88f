"""What each kind of job is asked for with.

Written by `python -m tools.client_types` from the JSON Schema: edit the models.
"""

from typing import Annotated, Any, Literal, Required, TypeAlias, TypedDict


class Consent(TypedDict):
    """The producer's statement on the person shown; kept with the manifest."""

    subject: Literal["synthetic", "consented"]
    record: str


class Common(TypedDict, total=False):
    """What every request may have beside its kind's own fields."""

    distinct_id: str | None
    priority: Annotated[int, "0 to 9, default 5."]
    deadline: str | None
    max_cost_usd: Annotated[float | None, "Above 0 to 1000."]
    consent: Consent | None
    metadata: dict[str, Any]
    callback_url: str | None


class FluxDev(Common, total=False):
    model: Required[Literal["flux-dev"]]
    prompt: Required[Annotated[str, "What the picture shows."]]
    negative_prompt: Annotated[str, "Taken for older clients; it has no effect at cfg 1."]
    width: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    height: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    steps: Annotated[int, "Sampler steps. 1 to 50, default 20."]
    cfg: Annotated[
        float,
        "Taken for older clients: any value but 1.0 is read as guidance. 0 to 10, default 1.0.",
    ]
    seed: Annotated[int | None, "0 is a seed; null derives one from the id."]
    num_images: Annotated[int, "Pictures, each with its own seed. 1 to 8, default 1."]
    output_format: Annotated[Literal["png", "jpeg", "webp"], "Default png."]
    embed_prompt: Annotated[bool, "Write the prompt into the delivered files' metadata."]
    nsfw: Annotated[bool, "Use the uncensored checkpoint."]
    guidance: Annotated[float | None, "Distilled guidance; null means 3.5. 0 to 10."]


class FluxInstantId(Common, total=False):
    model: Required[Literal["flux-instantid"]]
    prompt: Required[Annotated[str, "What the picture shows."]]
    negative_prompt: Annotated[str, "What SDXL is to keep away from."]
    width: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    height: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    steps: Annotated[
        int,
        "Sampler steps of the composition; 8 on z-image-turbo unless given. 1 to 50, default 20.",
    ]
    cfg: Annotated[
        float,
        "Taken for older clients: any value but 1.0 is read as guidance. 0 to 10, default 1.0.",
    ]
    seed: Annotated[int | None, "0 is a seed; null derives one from the id."]
    num_images: Annotated[int, "Pictures, each with its own seed. 1 to 8, default 1."]
    output_format: Annotated[Literal["png", "jpeg", "webp"], "Default png."]
    embed_prompt: Annotated[bool, "Write the prompt into the delivered files' metadata."]
    nsfw: Annotated[bool, "Use the uncensored checkpoint."]
    reference_image: Required[
        Annotated[str, "Key of a picture of the person, under inputs/; its largest face is taken."]
    ]
    instantid_strength: Annotated[
        float, "How much the face is the reference's. 0 to 3, default 0.8."
    ]
    controlnet_strength: Annotated[
        float, "How strictly eyes, nose and mouth keep their places. 0 to 3, default 0.8."
    ]
    start_at: Annotated[float, "Share of the sampling at which InstantID sets in. 0 to 1."]
    end_at: Annotated[float, "Share of the sampling at which it ends. 0 to 1, default 1.0."]
    sampler_name: Annotated[str, "Of ComfyUI's KSampler. Default euler."]
    scheduler: Annotated[str, "Of ComfyUI's KSampler. Default karras."]
    sdxl_checkpoint: Annotated[
        str | None, "An SDXL checkpoint of models.toml, by file or name; null takes the set's own."
    ]
    face_provider: Annotated[
        Literal["CPU", "GPU"], "Taken for older clients: GPU means CUDA. Default CPU."
    ]
    min_face_match: Annotated[float | None, "Below it, another seed is tried. 0 to 1."]
    min_face_similarity: Annotated[float | None, "Below it, another seed is tried. -1 to 1."]
    max_tries: Annotated[
        int, "Seeds tried for a picture below a minimum; best kept. 1 to 8, default 3."
    ]
    base: Annotated[
        Literal["flux-dev", "z-image-turbo"],
        "The model that composes the picture. Default flux-dev.",
    ]
    guidance: Annotated[float | None, "Of flux-dev; null means 3.5. 0 to 10."]
    denoise: Annotated[
        float, "How much of the face is made anew; 0.5 to 0.7. Above 0 to 1, default 0.6."
    ]
    face_steps: Annotated[int, "Sampler steps of the face. 1 to 50, default 20."]
    face_cfg: Annotated[float, "SDXL's guidance on the face. 1 to 15, default 4.5."]
    face_index: Annotated[
        int | None,
        "Which face of the composition, 0 the largest; null takes that one too. 0 to 63.",
    ]
    face_padding: Annotated[
        float, "The square made anew, in lengths of the face. 1.2 to 4, default 2.0."
    ]
    allow_no_face: Annotated[bool, "Deliver a composition in which no face was found as it is."]
    keep_composition: Annotated[bool, "Store the picture before its face pass too."]


class FluxLora(Common, total=False):
    model: Required[Literal["flux-lora"]]
    prompt: Required[Annotated[str, "What the picture shows."]]
    negative_prompt: Annotated[str, "Taken for older clients; it has no effect at cfg 1."]
    width: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    height: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    steps: Annotated[int, "Sampler steps. 1 to 50, default 20."]
    cfg: Annotated[
        float,
        "Taken for older clients: any value but 1.0 is read as guidance. 0 to 10, default 1.0.",
    ]
    seed: Annotated[int | None, "0 is a seed; null derives one from the id."]
    num_images: Annotated[int, "Pictures, each with its own seed. 1 to 8, default 1."]
    output_format: Annotated[Literal["png", "jpeg", "webp"], "Default png."]
    embed_prompt: Annotated[bool, "Write the prompt into the delivered files' metadata."]
    nsfw: Annotated[bool, "Use the uncensored checkpoint."]
    lora_id: Annotated[str | None, "Of a character's LoRA."]
    lora_name: Annotated[str | None, "File name under loras/."]
    lora_version: Annotated[str | None, "One training's file."]
    lora_strength: Annotated[float, "On the diffusion model. 0 to 1, default 1.0."]
    trigger_word: Annotated[
        str | None, "Put before the prompt; null takes the one stored beside the LoRA."
    ]
    guidance: Annotated[float | None, "Distilled guidance; null means 3.5. 0 to 10."]


class FluxSchnell(Common, total=False):
    model: Required[Literal["flux-schnell"]]
    prompt: Required[Annotated[str, "What the picture shows."]]
    negative_prompt: Annotated[str, "Taken for older clients; it has no effect at cfg 1."]
    width: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    height: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    steps: Annotated[int, "Sampler steps. 1 to 50, default 4."]
    cfg: Annotated[float, "Taken for older clients; schnell has no guidance. 0 to 10, default 1.0."]
    seed: Annotated[int | None, "0 is a seed; null derives one from the id."]
    num_images: Annotated[int, "Pictures, each with its own seed. 1 to 8, default 1."]
    output_format: Annotated[Literal["png", "jpeg", "webp"], "Default png."]
    embed_prompt: Annotated[bool, "Write the prompt into the delivered files' metadata."]
    nsfw: Annotated[bool, "Use the uncensored checkpoint."]


class SdxlInstantId(Common, total=False):
    model: Required[Literal["sdxl-instantid"]]
    prompt: Required[Annotated[str, "What the picture shows."]]
    negative_prompt: Annotated[str, "What SDXL is to keep away from."]
    width: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    height: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    steps: Annotated[int, "Sampler steps. 1 to 50, default 20."]
    cfg: Annotated[float, "Guidance; 5 to 7 are usual. 1 to 15, default 7.0."]
    seed: Annotated[int | None, "0 is a seed; null derives one from the id."]
    num_images: Annotated[int, "Pictures, each with its own seed. 1 to 8, default 1."]
    output_format: Annotated[Literal["png", "jpeg", "webp"], "Default png."]
    embed_prompt: Annotated[bool, "Write the prompt into the delivered files' metadata."]
    nsfw: Annotated[bool, "Use the uncensored checkpoint."]
    reference_image: Required[
        Annotated[str, "Key of a picture of the person, under inputs/; its largest face is taken."]
    ]
    instantid_strength: Annotated[
        float, "How much the face is the reference's. 0 to 3, default 0.8."
    ]
    controlnet_strength: Annotated[
        float, "How strictly eyes, nose and mouth keep their places. 0 to 3, default 0.8."
    ]
    start_at: Annotated[float, "Share of the sampling at which InstantID sets in. 0 to 1."]
    end_at: Annotated[float, "Share of the sampling at which it ends. 0 to 1, default 1.0."]
    sampler_name: Annotated[str, "Of ComfyUI's KSampler. Default euler."]
    scheduler: Annotated[str, "Of ComfyUI's KSampler. Default normal."]
    sdxl_checkpoint: Annotated[
        str | None, "An SDXL checkpoint of models.toml, by file or name; null takes the set's own."
    ]
    face_provider: Annotated[
        Literal["CPU", "GPU"], "Taken for older clients: GPU means CUDA. Default CPU."
    ]
    min_face_match: Annotated[float | None, "Below it, another seed is tried. 0 to 1."]
    min_face_similarity: Annotated[float | None, "Below it, another seed is tried. -1 to 1."]
    max_tries: Annotated[
        int, "Seeds tried for a picture below a minimum; best kept. 1 to 8, default 3."
    ]


class Workflow(Common, total=False):
    model: Required[Literal["workflow"]]
    workflow: Required[Annotated[dict[str, Any], "The graph in ComfyUI's API format."]]
    prompt: Annotated[str | None, "Takes the place of every input that is {{prompt}}."]
    seed: Annotated[
        int | None, "Takes the place of every input that is {{seed}}; null derives one from the id."
    ]
    inputs: Annotated[dict[str, str], "Picture by the name that the graph loads it under."]
    output_format: Annotated[
        Literal["png", "jpeg", "webp"] | None,
        "Of still pictures; null leaves them as the graph saved them.",
    ]
    nsfw: Annotated[bool, "The graph uses the uncensored checkpoint."]


class ZImageTurbo(Common, total=False):
    model: Required[Literal["z-image-turbo"]]
    prompt: Required[Annotated[str, "What the picture shows."]]
    negative_prompt: Annotated[str, "Taken for older clients; it has no effect at cfg 1."]
    width: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    height: Annotated[int, "Pixels; at most 2 Mi in all. 256 to 2048 in steps of 16, default 1024."]
    steps: Annotated[int, "Sampler steps. 1 to 50, default 8."]
    cfg: Annotated[float, "Taken for older clients; the model needs 1. 0 to 10, default 1.0."]
    seed: Annotated[int | None, "0 is a seed; null derives one from the id."]
    num_images: Annotated[int, "Pictures, each with its own seed. 1 to 8, default 1."]
    output_format: Annotated[Literal["png", "jpeg", "webp"], "Default png."]
    embed_prompt: Annotated[bool, "Write the prompt into the delivered files' metadata."]
    nsfw: Annotated[bool, "Use the uncensored checkpoint."]
    lora_id: Annotated[str | None, "Of a character's LoRA."]
    lora_name: Annotated[str | None, "File name under loras/."]
    lora_version: Annotated[str | None, "One training's file."]
    lora_strength: Annotated[float, "On the diffusion model. 0 to 1, default 1.0."]
    trigger_word: Annotated[
        str | None, "Put before the prompt; null takes the one stored beside the LoRA."
    ]


Request: TypeAlias = (
    FluxDev | FluxInstantId | FluxLora | FluxSchnell | SdxlInstantId | Workflow | ZImageTurbo
)
"""A job of any kind; `model` tells which."""
