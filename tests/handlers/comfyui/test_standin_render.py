import time
from io import BytesIO

import pytest
from PIL import Image

from handlers.comfyui.standin.render import Recipe, render
from handlers.comfyui.standin.save_nodes import png

CAT = Recipe("a cat", 1, ("flux1-dev.safetensors",))


def pixels(recipe: Recipe, width: int = 256, height: int = 256) -> bytes:
    return render(recipe, width, height).tobytes()


def test_the_same_recipe_gives_the_same_bytes() -> None:
    assert png(render(CAT, 256, 256)) == png(render(CAT, 256, 256))


@pytest.mark.parametrize(
    "other",
    [
        Recipe("a dog", 1, CAT.models),
        Recipe("a cat", 2, CAT.models),
        Recipe("a cat", 1, ("other.safetensors",)),
        Recipe("a cat", 1, CAT.models, ("style.safetensors@0.8",)),
        Recipe("a cat", 1, CAT.models, signature="with more steps"),
    ],
)
def test_everything_in_a_recipe_shows(other: Recipe) -> None:
    assert pixels(other) != pixels(CAT)


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (191, 300), (2048, 256), (256, 2048)])
@pytest.mark.parametrize("prompt", ["a", "b", "c", "d", "e", "f", "g", "h", ""])
def test_any_scene_fits_any_size(prompt: str, size: tuple[int, int]) -> None:
    assert render(Recipe(prompt, 3), *size).size == size


def test_a_caption_says_what_made_it_on_a_dark_strip() -> None:
    def brightest(recipe: Recipe) -> int:
        strip = render(recipe, 512, 512).crop((0, 480, 512, 495)).convert("L")
        return int(strip.getextrema()[1])  # type: ignore[arg-type]

    assert brightest(CAT) > 200
    assert brightest(Recipe("", 1)) < 100


def test_a_prompt_of_any_length_and_script_is_captioned() -> None:
    for prompt in ("x" * 4000, "Katze\nauf\tdem Dach", "高い塔 🐈", "\x00"):
        render(Recipe(prompt, 1), 512, 256)


def test_a_megapixel_takes_a_fraction_of_a_second() -> None:
    render(CAT, 1024, 1024)
    started = time.process_time()
    body = png(render(CAT, 1024, 1024))

    assert time.process_time() - started < 0.4  # 0.05 s when nothing else runs
    with Image.open(BytesIO(body)) as image:
        assert image.size == (1024, 1024)
