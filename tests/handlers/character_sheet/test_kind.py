from dataclasses import replace
from typing import Any

import pytest

from config.errors import ConsentMissing, NsfwNotAllowed, PromptRefused
from config.gpus import load_gpus
from config.models import load_models
from config.routes import load_routes
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.kind import CharacterSheet
from handlers.kinds.base import JobRequest, Work
from handlers.kinds.requirements import LoraFile, Supplies
from handlers.loras.family import Family
from handlers.policy.prompt_words import word_filter
from handlers.policy.rules import Policy, PolicySubject, likeness
from pipeline import costs
from tests.handlers.character_sheet.sheets import FACE, lora_sheet, sheet
from workflows.interfaces import committed
from workflows.validation import require_valid

KIND = CharacterSheet()
MODELS = load_models(None)
GPUS = load_gpus(None)
ROUTES = load_routes(None)
FLUX = ROUTES.route("Flux")
LORA = LoraFile("ann.safetensors", "loras/character-ann.safetensors", "ab" * 32, "ohwx woman")
POLICY = Policy(word_filter, frozenset({"acme"}))


def passes(work: Work) -> list[Work]:
    return [work, *passes(work.then)] if work.then else [work]


def job(request: CharacterSheetInput, lora: LoraFile | None = None) -> JobRequest[Any]:
    return JobRequest("job-1", 1, request, 7, Supplies(lora))


def usd(work: Work, gpu: str = "L40S") -> float:
    found = costs.estimate(KIND.name, work, GPUS.gpu(gpu), FLUX, GPUS).usd
    assert found is not None
    return found


def subject(request: CharacterSheetInput, *, consent: bool = False) -> PolicySubject:
    return PolicySubject("acme", request.nsfw, consent, KIND.prompts(request), likeness(request))


@pytest.mark.parametrize("base", ["sdxl", "flux-dev", "z-image-turbo"])
@pytest.mark.parametrize("asked", [sheet, lora_sheet])
def test_graphs_of_every_base_fit_the_node_interfaces(base: str, asked: Any) -> None:
    graphs = KIND.graphs(job(asked(base=base)), MODELS)
    assert graphs
    for graph in graphs:
        require_valid(graph, committed())


def test_a_lora_is_in_every_composition() -> None:
    for graph in KIND.graphs(job(lora_sheet(base="flux-dev"), LORA), MODELS):
        assert graph["lora"].inputs["lora_name"] == "character-ann.safetensors"


def test_every_base_runs_on_the_route_of_flux() -> None:
    """The name of an inbox entry says the kind and no base."""
    assert KIND.route == "Flux"


def test_references_and_lora_are_asked_of_the_bucket() -> None:
    needed = KIND.required_inputs(sheet(base="flux-dev", lora_id="ann"), MODELS)
    assert needed.images == {"reference_images.0": FACE}
    assert needed.face_boxes
    assert needed.lora is not None
    assert needed.lora.base.family is Family.FLUX


def test_without_a_face_pass_no_face_pack_is_needed() -> None:
    assert not KIND.required_inputs(sheet(), MODELS).face_boxes
    assert not KIND.required_inputs(lora_sheet(base="flux-dev"), MODELS).face_boxes


def test_an_sdxl_sheet_takes_a_lora_of_sdxl() -> None:
    needed = KIND.required_inputs(lora_sheet(), MODELS).lora
    assert needed is not None
    assert needed.base.family is Family.SDXL


def test_the_work_is_each_view_once_and_each_face() -> None:
    work = passes(KIND.work(sheet(base="flux-dev")))
    compositions, (face,) = work[:-1], work[-1:]
    assert sum(each.images for each in compositions) == 10
    assert (face.images, face.model) == (9, "sdxl-instantid")


def test_the_most_work_is_every_attempt() -> None:
    request = sheet(base="flux-dev", attempts_per_view=3)
    assert usd(KIND.most_work(request)) == pytest.approx(3 * usd(KIND.work(request)), rel=0.02)
    *compositions, face = passes(KIND.most_work(request))
    assert (sum(each.images for each in compositions), face.images) == (30, 27)


def test_a_budget_below_one_try_a_view_is_refused() -> None:
    estimate = costs.job_estimate(KIND, sheet(), GPUS.gpu("L40S"), ROUTES, GPUS)
    assert estimate.usd is not None
    assert estimate.most_usd is not None
    assert estimate.usd * 2 < estimate.most_usd
    assert costs.over_budget(estimate, estimate.usd * 0.99) is not None
    assert costs.over_budget(estimate, estimate.usd * 1.01) is None


def test_all_of_the_callers_words_are_checked_together() -> None:
    """What is harmless in one field may not be so beside another."""
    for given in (
        {"description": "a schoolgirl", "outfit": "lingerie"},
        {"name": "the toddler", "style": "erotic"},
        {"description": "aged 12", "views": [{"id": "a", "pose": "naked"}]},
        {"views": [{"id": "a", "expression": "seductive"}, {"id": "b", "outfit": "child's"}]},
        {"trigger_word": "loli", "lora_id": "x"},
        {"background": "kindergarten", "views": [{"id": "nude", "light": "studio"}]},
    ):
        with pytest.raises(PromptRefused):
            POLICY.require(subject(sheet(**given)))
    POLICY.require(subject(sheet(description="a woman of 30", outfit="a swimsuit")))


def test_with_nsfw_any_mention_of_a_minor_is_enough() -> None:
    request = sheet(base="flux-dev", nsfw=True, description="a teenager")
    with pytest.raises(PromptRefused):
        POLICY.require(subject(request, consent=True))


@pytest.mark.parametrize("asked", [sheet, lora_sheet])
def test_an_nsfw_sheet_always_needs_a_consent(asked: Any) -> None:
    """It is always of somebody: by pictures or by a LoRA."""
    request = asked(base="flux-dev", nsfw=True)
    with pytest.raises(ConsentMissing):
        POLICY.require(subject(request))
    POLICY.require(subject(request, consent=True))
    with pytest.raises(NsfwNotAllowed):
        POLICY.require(replace(subject(request, consent=True), tenant="other"))


def test_nsfw_on_a_base_without_an_uncensored_checkpoint_is_not_available() -> None:
    for base in ("sdxl", "z-image-turbo"):
        refused = KIND.unavailable(sheet(base=base, nsfw=True))
        assert refused is not None
        assert refused.field == "input.nsfw"
        assert "flux-dev" in (refused.hint or "")
    assert KIND.unavailable(sheet(base="flux-dev", nsfw=True)) is None


def test_fields_without_effect_are_told() -> None:
    assert KIND.warnings(sheet(base="flux-dev", cfg=5.0)) == [
        "cfg has no effect: flux-dev samples at cfg 1"
    ]
    assert KIND.warnings(sheet(guidance=3.0)) == ["guidance has no effect: sdxl has none"]
    assert KIND.warnings(lora_sheet(base="flux-dev", negative_prompt="hat"))
    assert KIND.warnings(sheet(base="flux-dev", negative_prompt="hat")) == []
