from pathlib import Path

import pytest

from config.errors import InvalidSetting
from config.gpus import load_gpus
from tests.config.own_tables import written


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


@pytest.mark.parametrize(
    ("regions", "factor"),
    [((), 1.0), (("eu",), 1.5), (("eu-west",), 1.75), (("eu", "us-east"), 1.75)],
)
def test_a_region_costs_more_on_modal_alone(regions: tuple[str, ...], factor: float) -> None:
    assert load_gpus().region_factor(regions) == factor
    assert load_gpus().on("runpod").region_factor(regions) == 1.0


PRICES = """
cpu_usd_per_core_second = 0.0
memory_usd_per_gib_second = 0.0
volume_usd_per_gib_month = 0.0
volume_free_gib = 0
usd_per_second = {}
source = "a test"
date = 2026-01-01
"""


def test_prices_of_a_platform_that_there_is_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="no platform is named 'runpd'") as caught:
        load_gpus(written(tmp_path, f"[platforms.runpd]{PRICES}"))
    assert caught.value.hint == "Did you mean runpod?"


def test_two_gpus_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"are both A10G"):
        load_gpus(written(tmp_path, '[gpus.L4]\naliases = ["A10G"]'))
