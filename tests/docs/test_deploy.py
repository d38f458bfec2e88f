from pathlib import Path

import pytest

from config.gpus import load_gpus
from config.models import load_models
from config.routes import load_routes
from config.settings import Settings
from pipeline.modal_app import modal_check, modal_deployment, resources
from pipeline.modal_app.idle_cost import idle_bill

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text()


@pytest.mark.parametrize(
    "name",
    [
        *load_routes().routes,
        *("dispatch", "api", "download_models", "switch_models", "tidy_loras"),
        *resources.SECRETS,
        *(key for secret in resources.SECRETS.values() for key in secret.keys),
        *resources.VOLUMES,
        *(str(volume.path) for volume in resources.VOLUMES.values()),
    ],
)
def test_the_page_knows_every_part_of_the_app(name: str) -> None:
    assert f"`{name}`" in PAGE
    if name.isidentifier() and name.islower():
        assert f"def {name}(" in (ROOT / "comfyui_ryla.py").read_text()


def test_the_pages_sums_are_those_of_the_tables() -> None:
    bill = idle_bill(
        Settings(),
        load_gpus(),
        run_s=modal_deployment.RUN_S,
        cpu_cores=modal_deployment.DISPATCHER_CORES,
        memory_mib=modal_deployment.DISPATCHER_MIB,
        weights_gib=modal_check.weights_gib(load_models()),
    )
    words = " ".join(PAGE.split())
    assert f"about ${bill.usd:.0f} a month" in words
    assert f"${bill.dispatcher_usd:.2f} for the dispatcher's container" in words
    assert f"${bill.lists_usd:.2f} for {bill.lists // 1000},000 LIST requests" in words
    assert f"all weights are {bill.weights_gib:.0f} GiB" in words
