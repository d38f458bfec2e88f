from typing import Any

import pytest
from pydantic import ValidationError

from config.errors import InvalidSetting, MissingModel
from config.models import ModelTable, WeightFile, load_models
from handlers.kinds.base import JobRequest
from handlers.kinds.flux_lora import FluxLora, FluxLoraInput
from handlers.kinds.lora_fields import TakesLora, lora_base, with_trigger
from handlers.kinds.requirements import LoraFile, LoraRequest, RequiredInputs, Supplies
from handlers.kinds.zimage import ZImageTurbo
from handlers.loras.bases import FluxSizes, ZImageSizes, flux, z_image
from handlers.loras.refs import ById, ByName
from workflows.graph import Graph
from workflows.interfaces import committed
from workflows.validation import require_valid

MODELS = load_models()
KINDS: list[Any] = [
    pytest.param(FluxLora(), id="flux-lora"),
    pytest.param(ZImageTurbo(), id="z-image-turbo"),
]
FETCHED = LoraFile("0a1b.safetensors", "loras/ann.safetensors", "0a1b", "ohwx woman")


def job(kind: TakesLora[Any], fetched: LoraFile | None = None, **fields: Any) -> JobRequest[Any]:
    request = kind.input_model.model_validate({"prompt": "a portrait", "lora_id": "ann"} | fields)
    return JobRequest("j1", 1, request, seed=5, supplies=Supplies(fetched))


def graph(kind: TakesLora[Any], fetched: LoraFile | None = None, **fields: Any) -> Graph:
    (made,) = kind.graphs(job(kind, fetched, **fields), MODELS)
    return made


def required_inputs(kind: TakesLora[Any], **fields: Any) -> RequiredInputs:
    return kind.required_inputs(job(kind, **fields).input, MODELS)


def refusal(kind: TakesLora[Any], **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.input_model.model_validate({"prompt": "a portrait"} | fields)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])) + error["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lora_id": "ann", "lora_name": "ann"}, "give lora_id or lora_name, not both"),
        ({"lora_version": "job-1"}, "lora_id or lora_name is required"),
        ({"trigger_word": "ohwx"}, "lora_id or lora_name is required"),
        ({"lora_strength": 0.5}, "lora_id or lora_name is required"),
        ({"lora_id": "ann", "lora_strength": 1.1}, "lora_strengthInput should be less than"),
        ({"lora_id": "ann", "lora_strength": -0.1}, "lora_strengthInput should be greater than"),
        ({"lora_id": "ann", "lora_strength": "1"}, "lora_strengthInput should be a valid number"),
        ({"lora_id": ""}, "lora_idString should have at least 1"),
        ({"lora_id": "ann", "lora_strenght": 1}, "lora_strenghtExtra inputs"),
    ],
)
def test_fields_that_cannot_be_are_refused(
    kind: TakesLora[Any], fields: dict[str, Any], said: str
) -> None:
    assert refusal(kind, **fields).startswith(said)


def test_flux_lora_must_name_one() -> None:
    assert refusal(FluxLora()) == "lora_id or lora_name is required"


def test_z_image_goes_without_one() -> None:
    kind = ZImageTurbo()
    plain = job(kind, lora_id=None, trigger_word="")

    (made,) = kind.graphs(plain, MODELS)

    assert kind.required_inputs(plain.input, MODELS) == RequiredInputs()
    assert "lora" not in made.api()
    assert kind.prompt(plain) == "a portrait"


def test_flux_lora_has_all_that_flux_dev_has() -> None:
    request = FluxLoraInput.model_validate({"prompt": "x", "lora_id": "a", "cfg": 7.0})

    assert request.effective_guidance == 7.0
    assert (request.steps, request.lora_strength, request.trigger_word) == (20, 1.0, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fields", "ref"),
    [
        ({"lora_id": "ann"}, ById("ann")),
        ({"lora_id": "ann", "lora_version": "job-1"}, ById("ann", "job-1")),
        ({"lora_id": None, "lora_name": "styles/film"}, ByName("styles/film")),
        ({"lora_id": None, "lora_name": "film", "lora_version": "2"}, ByName("film", "2")),
    ],
)
def test_it_needs_the_lora_that_is_named_and_one_that_fits_its_model(
    kind: TakesLora[Any], fields: dict[str, Any], ref: ById | ByName
) -> None:
    base = flux() if isinstance(kind, FluxLora) else z_image()

    assert required_inputs(kind, **fields) == RequiredInputs(LoraRequest(ref, base))


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_fits_the_interfaces_and_samples_through_the_lora(kind: TakesLora[Any]) -> None:
    made = graph(kind, FETCHED, lora_strength=0.75)

    require_valid(made, committed())
    lora = made["lora"]
    assert lora.class_type == "LoraLoaderModelOnly"
    assert (lora.inputs["lora_name"], lora.inputs["strength_model"]) == ("0a1b.safetensors", 0.75)
    assert lora.inputs["model"] == made["unet"].out()
    past_it = [node.inputs.get("model") for node in made if node is not lora]
    assert made["unet"].out() not in past_it
    assert lora.out() in past_it


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_judged_before_its_lora_is_fetched(kind: TakesLora[Any]) -> None:
    made = graph(kind)

    require_valid(made, committed())
    assert made["lora"].inputs["lora_name"] == "lora.safetensors"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        (None, "ohwx woman a portrait"),
        ("", "a portrait"),
        ("  ", "a portrait"),
        ("sks", "sks a portrait"),
        ("Portrait", "a portrait"),
    ],
)
def test_the_trigger_word_is_the_jobs_or_else_the_loras(
    kind: TakesLora[Any], asked: str | None, prompt: str
) -> None:
    made = graph(kind, FETCHED, trigger_word=asked)

    assert made["prompt"].inputs["text"] == prompt


@pytest.mark.parametrize(
    ("prompt", "word", "said"),
    [
        ("a cat", "tok", "tok a cat"),
        ("a tok cat", "tok", "a tok cat"),
        ("A TOK, a cat", "tok", "A TOK, a cat"),
        ("a token", "tok", "tok a token"),
        ("a stok", "tok", "tok a stok"),
        ("ohwx woman on a chair", "ohwx woman", "ohwx woman on a chair"),
        ("a woman, ohwx", "ohwx woman", "ohwx woman a woman, ohwx"),
        ("smile :) at me", ":)", "smile :) at me"),
    ],
)
def test_a_trigger_word_is_not_said_twice(prompt: str, word: str, said: str) -> None:
    assert with_trigger(prompt, word) == said


def unet(name: str, **sizes: int) -> WeightFile:
    return MODELS.weights(name)["unet"].model_copy(update={"sizes": sizes or None})


def test_a_model_of_unusual_sizes_takes_loras_of_those() -> None:
    assert lora_base(unet("flux-dev", hidden=128, doubles=1)) == flux(FluxSizes(1, hidden=128))
    assert lora_base(unet("z-image-turbo", dim=64)) == z_image(ZImageSizes(dim=64))


def test_sizes_that_a_family_has_not_are_a_wrong_table() -> None:
    with pytest.raises(InvalidSetting, match=r"weights\.flux1-dev: .*hiden"):
        lora_base(unet("flux-dev", hiden=128))


def test_a_table_without_the_set_refuses_the_job() -> None:
    empty = ModelTable.model_validate({"weights": {}, "sets": {}})
    with pytest.raises(MissingModel):
        FluxLora().required_inputs(job(FluxLora()).input, empty)
