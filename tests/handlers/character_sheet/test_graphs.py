import pytest

from config.models import load_models
from handlers.character_sheet.graphs import composition, judged, one_pass
from handlers.character_sheet.planner import plan_sheet
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.kinds.requirements import LoraFile
from tests.handlers.character_sheet.sheets import lora_sheet, sheet
from workflows.graph import Graph
from workflows.interfaces import committed
from workflows.validation import require_valid

MODELS = load_models(None)
LORA = LoraFile("ann.safetensors", "loras/character-ann.safetensors", "ab" * 32, "ohwx woman")


def graph(plan: SheetPlan, number: int = 7) -> Graph:
    view = plan.views[number - 1]
    lora = LORA.file if plan.lora else None
    return composition(plan, view, 2, "p", lora)


@pytest.mark.parametrize(
    ("base", "loader"),
    [
        ("sdxl", "CheckpointLoaderSimple"),
        ("flux-dev", "DualCLIPLoader"),
        ("z-image-turbo", "ModelSamplingAuraFlow"),
    ],
)
def test_the_base_draws_the_view_as_planned(base: str, loader: str) -> None:
    plan = plan_sheet(lora_sheet(base=base), "job-1", MODELS, LORA)
    made = graph(plan)
    require_valid(made, committed())
    assert loader in {node.class_type for node in made}
    assert made["prompt"].inputs["text"] == plan.views[6].prompt
    assert made["sampler"].inputs["seed"] == plan.views[6].seeds[1]
    assert made["lora"].inputs["strength_model"] == 1.0
    latent = made["latent"].inputs
    assert (latent["width"], latent["height"]) == (plan.views[6].width, plan.views[6].height)


def test_a_back_view_on_sdxl_has_no_instantid() -> None:
    made = graph(plan_sheet(sheet(), "job-1", MODELS))
    assert "instantid" not in {node.id for node in made}
    assert "face, front view" in made["negative"].inputs["text"]


def test_a_plan_read_again_draws_the_same() -> None:
    plan = plan_sheet(lora_sheet(base="flux-dev"), "job-1", MODELS, LORA)
    again = SheetPlan.parse(plan.body())
    assert again is not None
    assert graph(again).digest() == graph(plan).digest()


def test_the_head_is_turned_as_drawn_and_the_lora_acts_too() -> None:
    plan = plan_sheet(sheet(lora_id="ann"), "job-1", MODELS, LORA)
    made = one_pass(
        plan, plan.views[0], 1, "p", references=["a.png"], landmarks="b.png", lora="ann.safetensors"
    )
    require_valid(made, committed())
    assert made["instantid"].inputs["image_kps"].node == "landmarks"
    assert made["instantid"].inputs["model"].node == "lora"


@pytest.mark.parametrize("base", ["flux-dev", "z-image-turbo"])
def test_a_face_pass_is_turned_as_drawn_unless_its_plan_is_from_before(base: str) -> None:
    plan = plan_sheet(sheet(base=base), "job-1", MODELS)
    _, faced, *_ = judged(plan)
    require_valid(faced, committed())
    assert faced["instantid"].inputs["image_kps"].node == "landmarks"
    _, before, *_ = judged(plan.model_copy(update={"face_landmarks": False}))
    assert before["instantid"].inputs["image_kps"].node == "enlarge"


@pytest.mark.parametrize("base", ["sdxl", "flux-dev", "z-image-turbo"])
def test_one_graph_of_each_way_is_judged(base: str) -> None:
    faces = 1 if base == "sdxl" else 2
    assert len([*judged(plan_sheet(sheet(base=base), "job-1", MODELS))]) == faces + 1
    assert len([*judged(plan_sheet(lora_sheet(base=base), "job-1", MODELS))]) == 1
