from pathlib import Path

import pytest

from config.errors import InvalidInput
from handlers.loras.refs import ById, ByName
from pipeline.acceptance.acceptance_plan import TARGETS, PlannedLora, read_plan

EXAMPLE = Path(__file__).parents[3] / "examples/accept/plan.toml"
FLUX = '[flux]\nprompts = ["a cat"]\n'


def written(folder: Path, text: str) -> Path:
    file = folder / "plan.toml"
    file.write_text(text)
    return file


def test_the_example_plan_asks_for_what_the_requirements_count() -> None:
    plan = read_plan(EXAMPLE).plan

    assert plan.flux is not None
    assert plan.flux.pictures >= 10
    assert plan.loras is not None
    assert len({lora.ref for lora in plan.loras.files}) >= 5
    assert plan.faces is not None
    assert plan.faces.targets == TARGETS


def test_a_short_plan_has_defaults(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, 'name = "one"\n' + FLUX)).plan

    assert (plan.at_once, plan.app_idle, plan.max_cost_usd) == (2, False, None)
    assert (plan.loras, plan.faces, plan.gpus.kind) == (None, None, "flux-dev")


@pytest.mark.parametrize(
    ("text", "field", "said", "hint"),
    [
        ('name = "A b"\n', "name", "'A b'", "docs/accept.md"),
        ('name = "a"\nat_onec = 3\n', "at_onec", "unknown key", "at_once"),
        (f'name = "a"\n{FLUX}pictures = 0\n', "flux.pictures", "= 0", "docs/accept.md"),
        ('name = "a"\n[flux]\npromts = ["x"]\n', "flux.promts", "unknown key", "prompts"),
        ('name = "a"\n[faces]\nreferences = []\nprompts = ["x"]\n', "faces.references", "", ""),
        ('name = "a"\n[http]\nkinds = ["flux-lora"]\n', None, "needs [loras]", ""),
        ('name = "a"\n[gpus]\nkind = "workflow"\n', None, "'workflow'", ""),
        ('name = "a"\n[loras]\nprompt = "x"\nfiles = [{}]\n', "loras.files.0", "give a file", ""),
        (
            'name = "a"\n[faces]\nreferences = ["no.png"]\nprompts = ["x"]\n',
            "faces.references",
            "no.png is not there",
            "folder",
        ),
        ("name = ", "--plan", "not TOML", "examples/accept/plan.toml"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, text: str, field: str | None, said: str, hint: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        read_plan(written(tmp_path, text))

    assert error.value.field == field
    assert said in error.value.message
    assert hint in (error.value.hint or "")


def test_a_plan_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.toml cannot be read"):
        read_plan(tmp_path / "none.toml")


def test_a_lora_is_named_by_id_or_name_or_by_its_file() -> None:
    assert PlannedLora(id="ann").ref == ById("ann")
    assert PlannedLora(name="film").fields == {"lora_name": "film"}
    assert PlannedLora(file=Path("x/film.safetensors")).ref == ByName("film")
