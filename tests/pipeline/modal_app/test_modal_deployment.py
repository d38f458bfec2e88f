from pathlib import Path

import pytest

from config.errors import InvalidSetting
from config.routes import Route, load_routes
from pipeline.modal_app.modal_deployment import RUN_S, RUN_TIMEOUT_S, Deployment, worker_resources

ROOT = Path(__file__).parents[3]


def flux(**changes: object) -> Route:
    return load_routes().route("Flux").model_copy(update=changes)


def test_a_class_asks_for_what_its_route_says() -> None:
    asked = worker_resources(flux(max_containers=3, idle_s=40, startup_s=200))
    assert asked["gpu"] == ["L40S", "A100-80GB", "H100"]
    assert (asked["cpu"], asked["memory"]) == (4.0, 48 * 1024)
    assert (asked["max_containers"], asked["scaledown_window"]) == (3, 40)
    assert asked["startup_timeout"] == 200


def test_the_lease_retries_and_the_platform_never() -> None:
    assert worker_resources(flux())["retries"] == 0


def test_a_jobs_own_limit_ends_it_before_the_platform_does() -> None:
    assert worker_resources(flux(timeout_s=600))["timeout"] > 600


@pytest.mark.parametrize(
    ("snapshot", "memory", "options"),
    [("off", False, {}), ("cpu", True, {}), ("gpu", True, {"enable_gpu_snapshot": True})],
)
def test_a_route_chooses_its_snapshot(
    snapshot: str, memory: bool, options: dict[str, bool]
) -> None:
    asked = worker_resources(flux(snapshot=snapshot))
    assert (asked["enable_memory_snapshot"], asked["experimental_options"]) == (memory, options)


def test_snapshots_are_shipped_off() -> None:
    assert {route.snapshot for route in load_routes().routes.values()} == {"off"}


def test_a_route_without_a_gpu_asks_for_none() -> None:
    assert worker_resources(flux(gpus=("none",)))["gpu"] is None


def test_a_run_of_the_dispatcher_ends_before_the_next_begins() -> None:
    assert RUN_S < RUN_TIMEOUT_S < 60


def test_what_is_deployed_is_read_from_settings_and_tables(tmp_path: Path) -> None:
    own = tmp_path / "routes.toml"
    own.write_text('[routes.Flux]\ngpus = ["H200"]\n')
    found = Deployment.of(ROOT, {"RYLA_ROUTES_FILE": str(own), "RYLA_MODAL_APP": "ryla-test"})
    assert found.routes.route("Flux").gpus == ("H200",)
    assert found.env["RYLA_MODAL_APP"] == "ryla-test"
    assert found.env["RYLA_ENGINE"] == "modal"
    assert found.env["RYLA_APP_VERSION"] == found.version
    assert found.tags["app"] == "ryla-test"


def test_containers_look_for_each_other_in_the_environment_of_the_deploy() -> None:
    name = "RYLA_MODAL_ENVIRONMENT"
    assert Deployment.of(ROOT, {name: "staging"}).env[name] == "staging"
    assert name not in Deployment.of(ROOT, {}).env, "the workspace's default, whatever it is called"


def test_the_variables_of_every_function_name_no_path() -> None:
    """Where the image is not built its paths do not exist; such variables stand in the image."""
    assert not any("/" in value for value in Deployment.of(ROOT, {}).env.values())


def test_a_gpu_that_nobody_knows_is_no_deployment(tmp_path: Path) -> None:
    own = tmp_path / "routes.toml"
    own.write_text('[routes.Flux]\ngpus = ["L40"]\n')
    with pytest.raises(InvalidSetting, match="no GPU is named 'L40'"):
        Deployment.of(ROOT, {"RYLA_ROUTES_FILE": str(own)})


def test_the_environment_that_modal_was_told_is_the_deployments() -> None:
    assert Deployment.of(ROOT, {}, "staging").settings.modal_environment == "staging"
    assert Deployment.of(ROOT, {}, None).settings.modal_environment is None
    same = Deployment.of(ROOT, {"RYLA_MODAL_ENVIRONMENT": "staging"}, "staging")
    assert same.settings.modal_environment == "staging"


def test_two_environments_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="is staging, and modal deploys to prod"):
        Deployment.of(ROOT, {"RYLA_MODAL_ENVIRONMENT": "staging"}, "prod")
