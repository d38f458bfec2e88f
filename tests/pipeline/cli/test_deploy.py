"""`ryla deploy` with the real `modal` behind it, on a loopback control plane."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.models import load_models
from pipeline.modal_app import modal_check, modal_deployment
from tests.pipeline.cli.conftest import Ryla
from tests.support.commands import ryla as run
from tests.support.modal_plane import ModalPlane
from tests.support.modal_plane.sign_in import signed_in
from tests.support.runpod_plane import KEY, RunpodPlane, runpod_plane

pytestmark = pytest.mark.xdist_group("modal-engine")

MODELS = load_models()
SECRETS = {
    "ryla-bucket": {
        "RYLA_BUCKET": "jobs",
        "RYLA_ACCESS_KEY_ID": "key",
        "RYLA_SECRET_ACCESS_KEY": "secret",
    },
    "ryla-posthog": {"RYLA_POSTHOG_API_KEY": "phc_x"},
    "ryla-huggingface": {"HF_TOKEN": "hf_x"},
    "ryla-api-keys": {"RYLA_API_KEYS": "acme:00"},
}


@pytest.fixture(scope="module")
def plane() -> Iterator[ModalPlane]:
    with ModalPlane({name: dict(values) for name, values in SECRETS.items()}) as plane:
        yield plane


@pytest.fixture(autouse=True)
def no_token_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def nobody(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has no token."""
    return {"MODAL_CONFIG_PATH": str(tmp_path / "modal.toml"), "MODAL_TOKEN_ID": ""}


def test_a_deploy_without_a_token_says_how_to_get_one(
    tmp_path: Path, nobody: dict[str, str]
) -> None:
    code, out, err = run("deploy", "--json", cwd=tmp_path, environ=nobody)
    error = json.loads(err.splitlines()[-1])["error"]
    assert (code, out) == (1, "")
    assert error["code"] == "engine_unavailable"
    assert "modal token new" in error["hint"]


@pytest.mark.thorough
def test_it_deploys_once_nothing_is_missing_and_the_check_agrees(
    plane: ModalPlane, bare_ryla: Ryla, tmp_path: Path
) -> None:
    taken = {name: plane.secrets.pop(name) for name in ("ryla-api-keys", "ryla-posthog")}
    code, _, err = run("deploy", "--json", cwd=tmp_path, environ=plane.environ)
    assert code == 1
    assert "secret ryla-api-keys: missing" in err
    assert "secret ryla-posthog: missing" in err, "all that is missing, at once"
    assert json.loads(err.splitlines()[-1])["error"]["code"] == "deploy_failed"

    plane.secrets.update(taken)
    (tmp_path / "own.toml").write_text(
        "[routes.Flux]\nmax_containers = 3\nmin_containers = 1\nbuffer_containers = 2\n"
        'regions = ["eu"]\n'
    )
    own = {**plane.environ, "RYLA_ROUTES_FILE": "own.toml"}
    code, out, err = run("deploy", "--json", cwd=tmp_path, environ=own)
    assert code == 0, err
    flux = plane.app("ryla").functions["Flux"]
    assert json.loads(out) == {"app": "ryla", "version": flux.env["RYLA_APP_VERSION"]}
    assert (flux.max_containers, flux.min_containers, flux.buffer_containers) == (3, 1, 2)
    assert flux.regions == ("eu",)
    assert "/opt/ryla/tables/routes.toml" in flux.files
    weights = {f"{each.folder}/{each.file}": each.bytes or 0 for each in modal_check.in_use(MODELS)}
    plane.fill("ryla-models", weights)

    with signed_in(plane):
        answer = bare_ryla("deploy", "--check", "--json")
    assert answer.code == 0
    document = answer.document
    assert document["ready"]
    assert {row["check"]: row["health"] for row in document["checks"]} == {
        "routes": "ok",
        "version": "ok",
        "token": "ok",
        **{f"secret {name}": "ok" for name in SECRETS},
        **{f"volume {name}": "ok" for name in ("ryla-models", "ryla-loras", "ryla-cache")},
        "weights": "ok",
        "gated models": "warning",
        "bucket": "warning",
    }
    assert document["idle_month"]["usd"] == pytest.approx(7.15, abs=0.01)
    assert document["kept_month"] == []


def test_for_people_the_check_is_a_table_and_the_idle_bill(
    bare_ryla: Ryla, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cli.deploy.find_spec", lambda name: None)
    answer = bare_ryla("deploy", "--check")
    assert answer.code == 1
    assert "pip install --require-hashes --no-deps -r requirements/modal.txt" in answer.out
    assert "A month in which nobody asks costs $7.15" in answer.out
    assert "What is kept" not in answer.out


def test_what_is_kept_is_told_with_its_price(
    bare_ryla: Ryla, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pipeline.cli.deploy.find_spec", lambda name: None)
    own = tmp_path / "routes.toml"
    own.write_text("[routes.Flux]\nmin_containers = 1\nbuffer_containers = 1\n")
    told = bare_ryla("deploy", "--check", RYLA_ROUTES_FILE=str(own)).out
    assert "$1842.12  Flux, min_containers = 1" in told
    assert "$0.00  Flux, buffer_containers = 1; up to $1842.12 with work all month" in told


def test_a_bucket_that_is_named_here_is_looked_at(
    ryla: Ryla, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cli.deploy.find_spec", lambda name: None)
    found = {row["check"]: row for row in ryla("deploy", "--check", "--json").document["checks"]}
    assert found["conditional writes"]["health"] == "ok"


def test_a_gpu_that_nobody_knows_fails_before_anything_is_asked(
    bare_ryla: Ryla, tmp_path: Path
) -> None:
    own = tmp_path / "routes.toml"
    own.write_text('[routes.Flux]\ngpus = ["L40"]\n')
    answer = bare_ryla("deploy", "--check", "--json", RYLA_ROUTES_FILE=str(own))
    assert (answer.code, answer.error["code"]) == (1, "invalid_setting")


def test_where_modal_is_not_installed_that_is_said(
    bare_ryla: Ryla, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cli.deploy.find_spec", lambda name: None)
    answer = bare_ryla("deploy", "--json")
    assert (answer.code, answer.error["code"]) == (1, "deploy_failed")
    assert "requirements/modal.txt" in answer.error["hint"]


def test_the_bill_is_made_of_what_the_dispatcher_asks_for() -> None:
    assert (modal_deployment.DISPATCHER_CORES, modal_deployment.DISPATCHER_MIB) == (0.125, 192)


def test_half_a_key_pair_is_told_and_the_rest_is_still_looked_at(
    bare_ryla: Ryla, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cli.deploy.find_spec", lambda name: None)
    answer = bare_ryla("deploy", "--check", "--json", RYLA_ACCESS_KEY_ID="x")
    found = {row["check"]: row["health"] for row in answer.document["checks"]}
    assert answer.code == 1
    assert (found["settings"], found["routes"]) == ("failed", "ok")


@pytest.fixture
def runpod() -> Iterator[RunpodPlane]:
    with runpod_plane("abc123") as plane:
        yield plane


def test_runpods_dockerfile_is_printed_and_its_context_written(
    bare_ryla: Ryla, tmp_path: Path
) -> None:
    printed = bare_ryla("deploy", "runpod", "--dockerfile")
    assert (printed.code, printed.out[:12]) == (0, "FROM python:")
    written = bare_ryla("deploy", "runpod", "--context", "image")
    assert (written.code, "docker build" in written.out) == (0, True)
    assert (tmp_path / "image/Dockerfile").read_text() == printed.out
    assert (tmp_path / "image/files/root/pipeline/runpod_app/runpod_worker.py").is_file()
    again = bare_ryla("deploy", "runpod", "--context", "image")
    assert (again.code, "not empty" in again.err) == (1, True)


def test_runpods_check_asks_the_endpoints(bare_ryla: Ryla, runpod: RunpodPlane) -> None:
    said = bare_ryla(
        *("deploy", "runpod", "--check", "--json"),
        RYLA_RUNPOD_URL=runpod.url,
        RYLA_RUNPOD_API_KEY=KEY,
        RYLA_RUNPOD_ENDPOINTS="Flux=abc123,ZImage=gone",
    )
    found = {row["check"]: row["health"] for row in said.document["checks"]}
    assert said.code == 1
    assert found["endpoint Flux"] == "ok"
    assert found["endpoint ZImage"] == "failed"
    assert found["endpoint InstantId"] == "warning"


def test_what_is_of_runpod_is_refused_for_modal(bare_ryla: Ryla) -> None:
    refused = bare_ryla("deploy", "--dockerfile")
    assert (refused.code, "RunPod" in refused.err) == (2, True)
