import tomllib
from importlib import resources
from pathlib import Path

import pytest

from config.errors import InvalidSetting, MissingModel
from config.tables import load_gpus, load_models, load_routes


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, "utf-8")
    return path


# gpus.toml


@pytest.mark.parametrize(
    ("device", "row"),
    [
        ("cuda:0 NVIDIA H200 : cudaMallocAsync", "H200"),
        ("cuda:0 NVIDIA L40S : native", "L40S"),
        ("NVIDIA L4", "L4"),
        ("cuda:0 Tesla T4 : cudaMallocAsync", "T4"),
        ("NVIDIA A10G", "A10"),
        ("cuda:1 NVIDIA A100-SXM4-40GB : cudaMallocAsync", "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("L40S", "L40S"),
        ("cpu", "none"),
        ("standin", "none"),
    ],
)
def test_a_device_is_known_by_what_it_calls_itself(device: str, row: str) -> None:
    assert load_gpus().identify(device).name == row


def test_a_device_of_no_row_is_somebodys_own_and_keeps_its_name() -> None:
    own = load_gpus().identify("cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync")

    assert own.name == "NVIDIA GeForce RTX 4090"
    assert not own.billed
    assert own.peak_tflops is None


def test_an_unnamed_device_is_no_gpu() -> None:
    assert load_gpus().identify("").name == "none"


@pytest.mark.parametrize(
    ("asked", "row"), [("A100", "A100-40GB"), ("H100!", "H100"), ("B200+", "B200")]
)
def test_a_gpu_is_found_by_the_names_it_can_be_asked_for(asked: str, row: str) -> None:
    assert load_gpus().gpu(asked).name == row


def test_an_unknown_gpu_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_gpus().gpu("L50S")
    assert caught.value.value == "L50S"
    assert "L40S" in (caught.value.hint or "")


def test_no_two_rows_answer_to_the_same_name() -> None:
    names = [
        name.lower()
        for gpu in load_gpus().gpus.values()
        for name in {gpu.name, *gpu.aliases, *gpu.reports}
    ]
    assert len(names) == len(set(names))


def test_a_chip_without_bf16_is_rated_by_its_fp16() -> None:
    t4 = load_gpus().gpu("T4")

    assert t4.bf16_tflops is None
    assert t4.peak_tflops == 65


def test_prices_agree_with_the_hourly_ones() -> None:
    hourly = {"T4": 0.59, "A10": 1.10, "L40S": 1.95, "A100-80GB": 2.50, "H100": 3.95, "H200": 4.54}
    table = load_gpus()

    for name, usd in hourly.items():
        assert table.gpu(name).usd_per_second * 3600 == pytest.approx(usd, abs=0.006)


def test_a_file_of_ones_own_changes_a_price_and_adds_a_card(tmp_path: Path) -> None:
    table = load_gpus(
        written(
            tmp_path,
            """
            [gpus.L40S]
            usd_per_second = 0.0005
            [gpus.RTX4090]
            usd_per_second = 0.0001
            bf16_tflops = 165
            reports = ["NVIDIA GeForce RTX 4090"]
            source = "own meter"
            date = 2026-01-01
            """,
        )
    )
    assert table.gpu("L40S").usd_per_second == 0.0005
    assert table.gpu("L40S").fp8_tflops == 733
    assert table.identify("cuda:0 NVIDIA GeForce RTX 4090 : native").name == "RTX4090"


@pytest.mark.parametrize(
    ("text", "field", "value", "hint"),
    [
        ("[gpus.L40S]\nusd_per_second = -1.0", "gpus.L40S.usd_per_second", -1.0, None),
        ("[gpus.L40S]\nusd_per_second = 'x'", "gpus.L40S.usd_per_second", "x", None),
        ("[gpus.L40S]\nusd_per_secnd = 1.0", "gpus.L40S.usd_per_secnd", 1.0, "usd_per_second"),
        ("[gpus.New]\nusd_per_second = 1.0", "gpus.New.source", None, None),
        ("gpus = 3", "gpus", 3, None),
    ],
)
def test_an_error_names_file_key_value_and_the_nearest_key(
    tmp_path: Path, text: str, field: str, value: object, hint: str | None
) -> None:
    path = written(tmp_path, text)

    with pytest.raises(InvalidSetting) as caught:
        load_gpus(path)

    error = caught.value
    assert str(path) in error.message
    assert field in error.message
    assert (error.field, error.value) == (field, value)
    assert (hint or "") in (error.hint or "")


@pytest.mark.parametrize("text", ["[gpus", "a = 1\na = 2"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(InvalidSetting, match="not TOML") as caught:
        load_gpus(path)
    assert str(path) in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"nothing\.toml: No such file"):
        load_models(tmp_path / "nothing.toml")


# routes.toml


def test_every_route_can_be_estimated_on_its_first_gpu() -> None:
    gpus = load_gpus()
    routes = load_routes(gpus=gpus).routes

    assert set(routes) == {"Flux", "InstantId", "ZImage"}
    for route in routes.values():
        assert gpus.gpu(route.gpus[0]).peak_tflops is not None


def test_flux_runs_only_on_cards_that_hold_it() -> None:
    gpus = load_gpus()

    for name in load_routes().route("Flux").gpus:
        assert (gpus.gpu(name).memory_gib or 0) >= 48


def test_a_route_on_a_gpu_of_no_row_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, '[routes.Flux]\ngpus = ["T4", "L40"]')

    with pytest.raises(InvalidSetting) as caught:
        load_routes(path)

    assert caught.value.field == "routes.Flux.gpus"
    assert caught.value.value == "L40"
    assert str(path) in caught.value.message


def test_a_route_can_be_forced_onto_another_card(tmp_path: Path) -> None:
    route = load_routes(written(tmp_path, '[routes.Flux]\ngpus = ["T4"]')).route("Flux")

    assert route.gpus == ("T4",)
    assert route.timeout_s == 600


@pytest.mark.parametrize(
    "text", ["gpus = []", "idle_s = 1", "max_in_flight = 0", "snapshot = 'on'"]
)
def test_a_route_out_of_range_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"routes\.Flux\."):
        load_routes(written(tmp_path, f"[routes.Flux]\n{text}"))


def test_an_unknown_route_is_an_error() -> None:
    with pytest.raises(InvalidSetting, match="no route named 'Sdxl'"):
        load_routes().route("Sdxl")


# models.toml


def test_the_sets_of_the_flux_kinds_name_their_files_by_role() -> None:
    models = load_models()

    dev = models.weights("flux-dev")
    assert {role: weight.file for role, weight in dev.items()} == {
        "unet": "flux1-dev.safetensors",
        "clip_l": "clip_l.safetensors",
        "t5": "t5xxl_fp16.safetensors",
        "vae": "ae.safetensors",
    }
    assert models.weights("flux-schnell")["checkpoint"].folder == "checkpoints"
    assert not dev["unet"].commercial_use


def test_a_set_that_is_not_listed_is_a_missing_model_with_the_way_to_list_it() -> None:
    with pytest.raises(MissingModel) as caught:
        load_models().weights("flux-dev-uncensored")

    assert "[sets.flux-dev-uncensored]" in (caught.value.hint or "")
    assert "RYLA_MODELS_FILE" in (caught.value.hint or "")


OWN_CHECKPOINT = """
[weights.own]
folder = "diffusion_models"
file = "own/flux.safetensors"
family = "flux"
revision = ""
sha256 = ""
licence = "own"
commercial_use = true
[sets.flux-own]
unet = "own"
clip_l = "clip_l"
t5 = "t5xxl_fp16"
vae = "ae"
"""


def test_an_operator_adds_a_checkpoint_of_unknown_origin(tmp_path: Path) -> None:
    models = load_models(written(tmp_path, OWN_CHECKPOINT))

    own = models.weights("flux-own")["unet"]
    assert (own.repository, own.revision, own.sha256, own.bytes) == (None, None, None, None)
    assert models.weights("flux-dev")["unet"].file == "flux1-dev.safetensors"


def test_a_fingerprint_changes_with_a_files_checksum_and_with_nothing_else(tmp_path: Path) -> None:
    packaged = load_models()
    note = load_models(written(tmp_path, '[weights.flux1-dev]\nlicence = "another"'))
    other = load_models(written(tmp_path, f'[weights.flux1-dev]\nsha256 = "{"0" * 64}"'))

    assert note.fingerprint("flux-dev") == packaged.fingerprint("flux-dev")
    assert other.fingerprint("flux-dev") != packaged.fingerprint("flux-dev")
    assert other.fingerprint("flux-schnell") == packaged.fingerprint("flux-schnell")


def test_a_fingerprint_is_the_same_wherever_the_file_lies(tmp_path: Path) -> None:
    aside = load_models(written(tmp_path, '[weights.ae]\nfile = "afc8e28272cd/ae.safetensors"'))

    assert aside.weights_by_name["ae"].base_name == "ae.safetensors"
    assert aside.fingerprint("flux-dev") == load_models().fingerprint("flux-dev")


def test_sets_are_found_by_their_files() -> None:
    models = load_models()
    files = [weight.file for weight in models.weights("flux-dev").values()]

    assert models.fingerprints([*files, "more"]) == {"flux-dev": models.fingerprint("flux-dev")}
    assert models.fingerprints(files[1:]) == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[sets.flux-dev]\nunet = "gone"', r"\[sets\.flux-dev\] unet names no \[weights\.gone\]"),
        ('[weights.ae]\nfile = "../../etc/passwd"', "leaves its folder"),
        ('[weights.ae]\nfile = "/etc/passwd"', "leaves its folder"),
        ('[weights.ae]\nfolder = "../vae"', "weights.ae.folder"),
        ('[weights.ae]\nsha256 = "abc"', "weights.ae.sha256"),
        ('[weights.ae]\nrevision = "main"', "weights.ae.revision"),
        ("[weights.ae]\nrevision = 5", "weights.ae.revision"),
        ('[weights.ae]\nfamily = "sd15"', "weights.ae.family"),
    ],
)
def test_a_wrong_row_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InvalidSetting, match=complaint):
        load_models(written(tmp_path, text))


@pytest.mark.parametrize("name", ["gpus.toml", "routes.toml", "models.toml"])
def test_the_tables_are_packaged(name: str) -> None:
    assert tomllib.loads((resources.files("config") / name).read_text("utf-8"))


def test_another_platform_has_prices_of_its_own() -> None:
    there = load_gpus().on("runpod")
    assert there.gpu("L40S").usd_per_second == 0.00053
    assert (there.cpu_usd_per_core_second, there.memory_usd_per_gib_second) == (0, 0)
    assert there.source == "docs.runpod.io/serverless/pricing"
    assert there.gpu("T4") == load_gpus().gpu("T4"), "not to be had there, and so not for free"
    assert load_gpus().on("local") == load_gpus()


def test_a_price_of_no_row_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "gpus.toml"
    own.write_text("[platforms.runpod.usd_per_second]\nL41 = 0.1\n")
    with pytest.raises(InvalidSetting, match="L41"):
        load_gpus(own)


def test_a_route_keeps_no_more_containers_than_it_may_have(tmp_path: Path) -> None:
    own = tmp_path / "routes.toml"
    own.write_text("[routes.Flux]\nmin_containers = 9\n")
    with pytest.raises(InvalidSetting, match="min_containers 9 is more than max_containers 8"):
        load_routes(own)


@pytest.mark.parametrize(
    ("regions", "factor"),
    [((), 1.0), (("eu",), 1.5), (("eu-west",), 1.75), (("eu", "us-east"), 1.75)],
)
def test_a_region_costs_more_on_modal_alone(regions: tuple[str, ...], factor: float) -> None:
    assert load_gpus().region_factor(regions) == factor
    assert load_gpus().on("runpod").region_factor(regions) == 1.0
