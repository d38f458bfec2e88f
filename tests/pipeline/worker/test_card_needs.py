from config.gpus import load_gpus
from config.models import load_models
from config.routes import load_routes
from pipeline.worker.card_needs import CardNeed, assumed_speed, card_need
from pipeline.worker.residency import ROOM_BYTES
from pipeline.worker.setup import weight_sizes
from workflows.node_pack import Speed

MODELS, ROUTES, GPUS = load_models(), load_routes(), load_gpus()
SIZES = weight_sizes(MODELS, None)


def need(route: str, speed: Speed = Speed.STOCK) -> CardNeed:
    return card_need(ROUTES.route(route), MODELS, SIZES, speed)


def test_a_route_needs_the_weights_of_its_largest_prompt_and_room() -> None:
    flux = sum(SIZES[each.file] for each in MODELS.weights("flux-dev").values())
    assert need("Flux").least == flux + ROOM_BYTES
    assert need("Flux").largest_file == SIZES["flux1-dev.safetensors"]


def test_each_file_of_all_sets_counts_once_and_face_models_not() -> None:
    one = need("InstantId")
    assert one.prompt == one.all
    assert one.all == sum(SIZES[each.file] for each in MODELS.weights("sdxl-instantid").values())
    assert need("Flux").all > need("Flux").prompt + one.all


def test_in_eight_bits_the_model_that_samples_takes_less_of_the_card_and_no_less_of_the_disk() -> (
    None
):
    usual, eight = need("Flux"), need("Flux", Speed.FP8)
    saved = usual.prompt - eight.prompt
    assert 8e9 < saved < 9e9
    assert eight.largest_file == usual.largest_file


def test_a_file_of_unknown_size_counts_nothing() -> None:
    assert card_need(ROUTES.route("Flux"), MODELS, {}, Speed.STOCK) == CardNeed(0, 0, 0)


def test_a_card_without_units_for_eight_bits_keeps_sixteen() -> None:
    eight = ROUTES.route("Flux").model_copy(update={"speed": "fp8"})
    assert assumed_speed(eight, GPUS.gpu("L40S")) is Speed.FP8
    assert assumed_speed(eight, None) is Speed.FP8
    assert assumed_speed(eight, GPUS.gpu("A100-80GB")) is Speed.STOCK
    assert assumed_speed(ROUTES.route("Flux"), GPUS.gpu("L40S")) is Speed.STOCK
