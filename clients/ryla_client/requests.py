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
    batch: str | None
    metadata: dict[str, Any]
    callback_url: str | None


class HeadInput(TypedDict, total=False):
    """Where a head is turned, in degrees; all 0 looks into the camera."""

    yaw: Annotated[float, "Above 0, the face turns to the picture's right. -90 to 90."]
    pitch: Annotated[float, "Above 0, it looks up. -45 to 45."]
    roll: Annotated[float, "Above 0, it leans clockwise. -45 to 45."]


class View(TypedDict, total=False):
    """One picture of a sheet, as it is asked for."""

    id: Required[Annotated[str, "Its name in the sheet: small letters, digits and hyphens."]]
    head: Annotated[
        Literal[
            "front",
            "three-quarter-left",
            "three-quarter-right",
            "side-left",
            "side-right",
            "up",
            "down",
        ]
        | HeadInput,
        "Where the head is turned, or a name; to the front unless given.",
    ]
    back: Annotated[bool, "Seen from behind; no face is to be seen."]
    framing: Annotated[
        Literal["close-up", "half", "full"], "How much of the person is to be seen. Default half."
    ]
    pose: Annotated[str, "Such as standing, sitting, dynamic. Default standing."]
    expression: Annotated[str, "Such as neutral, smiling, confident."]
    outfit: Annotated[str, "Clothes; empty takes the sheet's."]
    light: Annotated[str, "Such as studio, natural, dramatic. Default studio."]
    background: Annotated[str, "Empty takes the sheet's."]


class Reuse(TypedDict, total=False):
    """Views that an ended sheet of the same tenant and person has."""

    job: Required[Annotated[str, "The ended sheet."]]
    views: Required[Annotated[list[str], "Its views that are reused as they are, by their ids."]]


class Size(TypedDict, total=False):
    """Pixels. Trainers sort pictures into sizes in steps of 64."""

    width: Required[Annotated[int, "512 to 1536 in steps of 64."]]
    height: Required[Annotated[int, "512 to 1536 in steps of 64."]]


class Sizes(TypedDict, total=False):
    """Of the pictures, by framing."""

    close_up: Size
    half: Size
    full: Size


class CharacterSheet(Common, total=False):
    model: Required[Literal["character-sheet"]]
    name: Required[Annotated[str, "The character's; a title, no part of any prompt."]]
    description: Annotated[str, "Who is seen, as in a prompt: `a woman of 30 with short red hair`."]
    reference_images: Annotated[
        list[str], "Keys of one to five pictures of the person, under inputs/."
    ]
    base: Annotated[
        Literal["sdxl", "flux-dev", "z-image-turbo"],
        "The model that composes the views. Default sdxl.",
    ]
    lora_id: Annotated[str | None, "Of a character's LoRA."]
    lora_name: Annotated[str | None, "File name under loras/."]
    lora_version: Annotated[str | None, "One training's file."]
    lora_strength: Annotated[float, "On the diffusion model. 0 to 1, default 1.0."]
    trigger_word: Annotated[
        str | None, "Put before each prompt; null takes the one stored beside the LoRA."
    ]
    views: Annotated[
        Literal["ten", "lora-24"] | list[View], "A preset, or a list of views. Default ten."
    ]
    view_ids: Annotated[
        list[str] | None, "Which of these views to make, in this order; null makes all."
    ]
    reuse: Annotated[Reuse | None, "Views that an ended sheet has, and that are not made again."]
    style: Annotated[str, "Words that every prompt ends with."]
    outfit: Annotated[str, "Clothes in views that name none."]
    background: Annotated[str, "Behind views that name none; empty is plain grey."]
    negative_prompt: Annotated[str, "What SDXL is to keep away from."]
    seed: Annotated[int | None, "0 is a seed; null derives one from the id."]
    seeds: Annotated[
        Literal["one", "per-view"],
        "One seed for all views keeps hair and clothes; one a view varies them. Default one.",
    ]
    min_face_match: Annotated[float | None, "Below it, a view is made again. 0 to 1."]
    attempts_per_view: Annotated[
        int, "Times that a view is made at most; the best is kept. 1 to 8, default 3."
    ]
    min_views: Annotated[
        int | None, "Fewer make the sheet fail; null means 7 of 10, rounded up. 1 to 40."
    ]
    sizes: Annotated[Sizes, "Of the framings: 1024x1024, 896x1152 and 832x1216 unless given."]
    steps: Annotated[
        int | None,
        "Sampler steps of the base: 25 on sdxl, 20 on flux-dev, 8 on z-image-turbo. 1 to 50.",
    ]
    cfg: Annotated[float, "SDXL's guidance, where it composes. 1 to 15, default 7.0."]
    guidance: Annotated[float | None, "Of flux-dev; null means 3.5. 0 to 10."]
    instantid_strength: Annotated[
        float, "How much the face is the references'. 0 to 3, default 0.8."
    ]
    controlnet_strength: Annotated[
        float, "How strictly the face is turned as drawn. 0 to 3, default 0.65."
    ]
    denoise: Annotated[
        float, "How much of a composed face is made anew. Above 0 to 1, default 0.6."
    ]
    face_steps: Annotated[int, "Sampler steps of a face in a composition. 1 to 50, default 20."]
    face_cfg: Annotated[float, "SDXL's guidance on a face in a composition. 1 to 15, default 4.5."]
    sdxl_checkpoint: Annotated[
        str | None, "An SDXL checkpoint of models.toml, by file or name; null takes the set's own."
    ]
    nsfw: Annotated[bool, "Use the uncensored checkpoint of flux-dev."]
    output_format: Annotated[Literal["png", "jpeg", "webp"], "Default png."]


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
    step_cache: Annotated[float, "Sooner, but another picture; 0 is off (docs/money.md). 0 to 1."]
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
    reference_images: Annotated[
        list[str], "Keys of one to five pictures of the person, for reference_image."
    ]
    reference_image: Annotated[
        str | None, "Key of a picture of the person, under inputs/; its largest face is taken."
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
        int, "Seeds tried for a picture that is not as asked; the best is kept. 1 to 8, default 3."
    ]
    head: Annotated[
        Literal[
            "front",
            "three-quarter-left",
            "three-quarter-right",
            "side-left",
            "side-right",
            "up",
            "down",
        ]
        | HeadInput
        | None,
        "How the head is turned, or a name; null leaves it as referenced or composed.",
    ]
    framing: Annotated[
        Literal["close-up", "half", "full"] | None,
        "How much of the person is seen, with `head` alone; null means close-up.",
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
    allow_no_face: Annotated[
        bool, "Deliver a composition without a face as it is; else another is made."
    ]
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
        str | None, "Put before each prompt; null takes the one stored beside the LoRA."
    ]
    step_cache: Annotated[float, "Sooner, but another picture; 0 is off (docs/money.md). 0 to 1."]
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
    reference_images: Annotated[
        list[str], "Keys of one to five pictures of the person, for reference_image."
    ]
    reference_image: Annotated[
        str | None, "Key of a picture of the person, under inputs/; its largest face is taken."
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
        int, "Seeds tried for a picture that is not as asked; the best is kept. 1 to 8, default 3."
    ]
    head: Annotated[
        Literal[
            "front",
            "three-quarter-left",
            "three-quarter-right",
            "side-left",
            "side-right",
            "up",
            "down",
        ]
        | HeadInput
        | None,
        "How the head is turned, or a name; null leaves it as referenced or composed.",
    ]
    framing: Annotated[
        Literal["close-up", "half", "full"] | None,
        "How much of the person is seen, with `head` alone; null means close-up.",
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
        str | None, "Put before each prompt; null takes the one stored beside the LoRA."
    ]


Request: TypeAlias = (
    CharacterSheet
    | FluxDev
    | FluxInstantId
    | FluxLora
    | FluxSchnell
    | SdxlInstantId
    | Workflow
    | ZImageTurbo
)
"""A job of any kind; `model` tells which."""
