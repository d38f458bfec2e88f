from pathlib import Path

from config.models import load_models
from pipeline.models.loads import LoadedModel, ModelLoads, Source, used_models
from pipeline.models.preload import PreloadReport

MODELS = load_models()
FLUX = MODELS.weights("flux-dev")
FILES = [weight.file for weight in FLUX.values()]
BYTES = sum(weight.bytes or 0 for weight in FLUX.values())
SDXL = [weight.file for weight in MODELS.weights("sdxl-instantid").values()]


def test_a_set_is_told_of_once() -> None:
    loads = ModelLoads(MODELS)
    assert loads.first(FILES, 9.0) == [LoadedModel("flux-dev", BYTES, 9.0, Source.LOCAL)]
    assert loads.first(FILES, 0.0) == []


def test_a_job_of_two_sets_tells_of_both_each_with_its_share_of_the_time() -> None:
    flux, sdxl = ModelLoads(MODELS).first([*FILES, *SDXL], 10.0)
    assert (flux.name, sdxl.name) == ("flux-dev", "sdxl-instantid")
    assert flux.seconds + sdxl.seconds == 10.0
    assert flux.seconds > 7


def test_of_what_came_before_only_the_new_is_told() -> None:
    loads = ModelLoads(MODELS)
    loads.first(FILES, 10.0)
    (sdxl,) = loads.first([*FILES, *SDXL], 4.0)
    assert (sdxl.name, sdxl.seconds) == ("sdxl-instantid", 4.0)


def test_a_file_without_its_set_stands_for_itself() -> None:
    assert list(used_models(MODELS, [FILES[0], "stranger.safetensors"])) == ["flux1-dev"]
    assert list(used_models(MODELS, [])) == []


def test_on_a_platform_weights_come_from_the_volume() -> None:
    assert ModelLoads(MODELS, on_volume=True).first(FILES, 1.0)[0].source is Source.VOLUME


def test_weights_that_were_read_ahead_come_from_the_cache(tmp_path: Path) -> None:
    paths = [tmp_path / weight.folder / weight.file for weight in FLUX.values()]
    read = PreloadReport(whole=frozenset(paths))
    loads = ModelLoads(MODELS, True, tmp_path, lambda: read)
    flux, sdxl = loads.first([*FILES, *SDXL], 1.0)
    assert (flux.source, sdxl.source) == (Source.CACHE, Source.VOLUME)


def test_a_length_that_no_table_has_is_looked_up(tmp_path: Path) -> None:
    weights = {
        name: weight.model_copy(update={"bytes": None})
        for name, weight in MODELS.weights_by_name.items()
    }
    models = MODELS.model_copy(update={"weights_by_name": weights})
    file = FLUX["vae"].file
    (unknown,) = ModelLoads(models).first([file], 2.0)
    assert (unknown.bytes, unknown.seconds) == (None, 2.0)
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / file).write_bytes(b"12345")
    (found,) = ModelLoads(models, folder=tmp_path).first([file], 2.0)
    assert found.bytes == 5
