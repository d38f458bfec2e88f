from workflows.graph import Graph
from workflows.instantid import Sampling
from workflows.interfaces import committed
from workflows.sdxl import text_to_image
from workflows.validation import require_valid

HOW = Sampling(3, 25, 7.0, "euler", "normal")


def made(lora: tuple[str, float] | None = None) -> Graph:
    return text_to_image(
        {"checkpoint": "sdxl.safetensors"},
        prompt="seen from behind",
        negative_prompt="face",
        width=832,
        height=1216,
        sampling=HOW,
        filename_prefix="f",
        lora=lora,
    )


def test_it_fits_the_node_interfaces() -> None:
    require_valid(made(), committed())
    require_valid(made(("ann.safetensors", 0.8)), committed())


def test_it_has_no_face_of_anybody() -> None:
    assert not {each.class_type for each in made()} & {
        "ApplyInstantIDAdvanced",
        "LoadImage",
    }


def test_a_lora_acts_on_the_model_that_is_sampled() -> None:
    assert made()["sampler"].inputs["model"].node == "checkpoint"
    with_lora = made(("ann.safetensors", 0.8))
    assert with_lora["sampler"].inputs["model"].node == "lora"
    assert with_lora["lora"].inputs["strength_model"] == 0.8


def test_the_negative_prompt_is_sampled_against() -> None:
    assert made()["negative"].inputs["text"] == "face"
    assert made()["sampler"].inputs["negative"].node == "negative"
