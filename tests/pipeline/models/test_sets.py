import pytest

from config.gpus import load_gpus
from config.models import load_models
from handlers.kinds.compatibility import rows
from handlers.kinds.registry import KINDS
from pipeline.models.sets import GIB, active_sets, forbidden, plan


def test_every_kind_that_runs_on_weights_of_the_table_has_its_sets_planned() -> None:
    sets = active_sets(load_models())

    for kind in KINDS:
        for row in rows(kind):
            assert set(row.sets) <= set(sets)


def test_a_file_of_two_sets_is_counted_once() -> None:
    models = load_models()
    both = models.files(["sdxl-instantid", "sdxl-instantid-realvis"])

    assert len(both) == 4


def test_only_what_exceeds_the_free_share_is_paid_unless_it_is_used_up() -> None:
    models, prices = load_models(), load_gpus()

    within = plan(models.files(["flux-dev"]).values(), prices)

    assert within.usd_per_month == 0
    assert within.usd_per_month_beyond_free == pytest.approx(within.bytes / GIB * 0.09)
    assert within.bytes == 34_172_222_116

    full = prices.model_copy(update={"volume_free_gib": 10.0})
    beyond = plan(models.files(["flux-dev"]).values(), full)
    assert beyond.usd_per_month == pytest.approx((within.bytes / GIB - 10) * 0.09)


def test_a_file_of_unknown_length_is_named_and_not_guessed() -> None:
    models = load_models()
    clip = models.weights_by_name["clip_l"].model_copy(update={"bytes": None})

    assert plan([clip], load_gpus()).unknown == ("clip_l.safetensors",)


def test_weights_without_commercial_use_are_forbidden_until_a_note_is_recorded() -> None:
    models = load_models()
    assert {each.name for each in forbidden(models, ["flux-dev"])} == {"flux1-dev", "ae"}
    assert forbidden(models, ["z-image-turbo"]) == ()
    assert {each.name for each in forbidden(models, ["antelopev2"])} == {
        name for name in models.weights_by_name if name.startswith("antelopev2")
    }

    noted = {
        name: row.model_copy(update={"licence_note": "contract 17"})
        for name, row in models.weights_by_name.items()
    }
    assert forbidden(models.model_copy(update={"weights_by_name": noted}), ["flux-dev"]) == ()
