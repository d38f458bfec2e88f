"""What was registered: by `modal deploy` of the real file, with the tables as they are shipped.

Nothing here shows that the platform acts on it. What ran is in test_jobs.py and test_web.py.
"""

import re
from pathlib import PurePosixPath

import pytest

from config.gpus import load_gpus
from config.routes import Route, RouteTable, load_routes
from tests.support.deployed_app import Deployed
from tests.support.modal_plane.registered import RegisteredFunction, RegisteredVolume

pytestmark = pytest.mark.xdist_group("deployed")

MODELS = RegisteredVolume("ryla-models", 2, read_only=True)
PERIOD_S = 60


@pytest.fixture(scope="module")
def routes() -> RouteTable:
    return load_routes(None, gpus=load_gpus(None))


@pytest.fixture
def functions(ryla: Deployed) -> dict[str, RegisteredFunction]:
    return ryla.app.functions


@pytest.fixture
def classes(functions: dict[str, RegisteredFunction]) -> dict[str, RegisteredFunction]:
    return {tag: each for tag, each in functions.items() if each.is_class}


def test_registered_one_class_for_each_route(
    classes: dict[str, RegisteredFunction], routes: RouteTable
) -> None:
    assert set(classes) == set(routes.routes)
    assert {each.methods for each in classes.values()} == {("run",)}


def test_registered_what_each_route_asks_for(
    classes: dict[str, RegisteredFunction], routes: RouteTable
) -> None:
    def asked(route: Route) -> tuple[object, ...]:
        memory_mib, limit_s = route.memory_gib * 1024, route.platform_timeout_s
        limits = (limit_s, route.startup_s, route.idle_s, route.max_containers)
        return (route.gpus, route.cpu_cores, memory_mib, *limits)

    def given(each: RegisteredFunction) -> tuple[object, ...]:
        limits = (each.timeout_s, each.startup_timeout_s, each.idle_s, each.max_containers)
        return (each.gpus, each.cpu_cores, each.memory_mib, *limits)

    for name, route in routes.routes.items():
        assert given(classes[name]) == asked(route), name


def test_registered_workers_take_one_job_and_are_not_retried_or_captured(
    classes: dict[str, RegisteredFunction],
) -> None:
    for each in classes.values():
        assert (each.retries, each.max_inputs) == (0, 1)
        assert not each.snapshot
        assert not each.gpu_snapshot
        assert (each.min_containers, each.buffer_containers) == (0, 0), "nothing idles for money"


def test_registered_nothing_that_multiplies_the_price(
    functions: dict[str, RegisteredFunction],
) -> None:
    for each in functions.values():
        assert each.regions == ()
        assert not each.nonpreemptible
        assert each.retries == 0


def test_registered_one_dispatcher_each_minute(functions: dict[str, RegisteredFunction]) -> None:
    crons = {tag: each.cron for tag, each in functions.items() if each.cron}
    assert [tag for tag, cron in crons.items() if cron == "* * * * *"] == ["dispatch"]
    assert len(crons) <= 5, "the smallest plan has five"
    dispatch = functions["dispatch"]
    assert (dispatch.max_containers, dispatch.max_inputs) == (1, 1)
    assert dispatch.timeout_s < PERIOD_S
    assert dispatch.memory_mib < 256
    assert dispatch.gpus == ()


def test_registered_one_web_endpoint_which_asks_for_keys_itself(
    functions: dict[str, RegisteredFunction],
) -> None:
    ((tag, api),) = [(tag, each) for tag, each in functions.items() if each.web is not None]
    assert api.web is not None
    assert (tag, api.web.requires_proxy_auth) == ("api", False)
    assert api.max_inputs >= 100
    assert api.timeout_s > 300, "an old client waits so long"


def test_registered_weights_are_read_only_but_for_the_download(
    functions: dict[str, RegisteredFunction], classes: dict[str, RegisteredFunction]
) -> None:
    def writers(name: str) -> set[str]:
        return {
            tag
            for tag, each in functions.items()
            for volume in each.volumes.values()
            if volume.name == name and not volume.read_only
        }

    assert writers("ryla-models") == {"download_models", "switch_models"}
    assert writers("ryla-loras") >= set(classes)
    assert writers("ryla-cache") == set(classes)
    for each in classes.values():
        assert each.volumes["/models"] == MODELS
        assert set(each.volumes) == {"/models", "/loras", "/cache"}
        assert {"ENV RYLA_MODELS_DIR=/models", "ENV RYLA_LORA_DIR=/loras"} <= set(each.image)
    versions = {volume.version for each in functions.values() for volume in each.volumes.values()}
    assert versions == {2}


def test_registered_secrets_and_the_keys_they_must_have(
    ryla: Deployed, classes: dict[str, RegisteredFunction]
) -> None:
    assert ryla.app.required_keys == {
        "ryla-bucket": {"RYLA_BUCKET", "RYLA_ACCESS_KEY_ID", "RYLA_SECRET_ACCESS_KEY"},
        "ryla-posthog": {"RYLA_POSTHOG_API_KEY"},
        "ryla-huggingface": {"HF_TOKEN"},
        "ryla-api-keys": {"RYLA_API_KEYS"},
    }
    functions = ryla.app.functions
    assert {each.secrets for each in classes.values()} == {("ryla-bucket", "ryla-posthog")}
    assert functions["dispatch"].secrets == ("ryla-bucket", "ryla-posthog")
    assert [tag for tag, each in functions.items() if "ryla-api-keys" in each.secrets] == ["api"]
    assert [tag for tag, each in functions.items() if "ryla-huggingface" in each.secrets] == [
        "download_models"
    ]


def test_registered_the_version_and_the_engine_everywhere(ryla: Deployed) -> None:
    envs = [each.env for each in ryla.app.functions.values()]
    assert all(env == envs[0] for env in envs)
    assert re.fullmatch(r"[0-9.]+\+[0-9a-f]{12}", envs[0]["RYLA_APP_VERSION"])
    assert envs[0]["RYLA_ENGINE"] == "modal"
    assert ryla.app.tags["project"] == "ryla", "bills are told apart by it"


def test_registered_only_code_and_tables_are_shipped(
    functions: dict[str, RegisteredFunction],
) -> None:
    (files,) = {each.files for each in functions.values()}
    paths = {PurePosixPath(path).relative_to("/root") for path in files}
    folders = {path.parts[0] for path in paths if len(path.parts) > 1}
    assert {path.name for path in paths if len(path.parts) == 1} == {"comfyui_ryla.py"}
    assert folders == {"system", "config", "events", "workflows", "handlers", "pipeline"}
    of_pages = {".css", ".js"}
    assert {path.suffix for path in paths} <= {".py", ".toml", ".json", ".j2", ".txt"} | of_pages
    assert {PurePosixPath("config/routes.toml"), PurePosixPath("config/models.toml")} <= paths
    for left_out in ("pipeline/cli", "pipeline/local", "handlers/comfyui/standin"):
        inside = [path.name for path in paths if path.is_relative_to(left_out)]
        assert inside == ["__init__.py"], left_out


def test_registered_a_pinned_image_that_checks_the_nodes_and_compiles_our_code(
    classes: dict[str, RegisteredFunction],
) -> None:
    (image,) = {each.image for each in classes.values()}
    runs = [line for line in image if line.startswith("RUN")]
    assert image[0].startswith("FROM python:3.11")
    assert "slim" in image[0]
    assert any(re.search(r"comfy .*install --version [0-9.]+ ", line) for line in runs)
    for clone in (line for line in runs if "git clone" in line):
        folder = clone.split()[-1]
        assert any(re.search(rf"{folder} checkout .*[0-9a-f]{{40}}$", line) for line in runs)
    hashed, checked = [line for line in runs if " -m pip install " in line]
    assert "--require-hashes" in hashed
    assert hashed.endswith("onnxruntime-gpu.txt")
    assert checked.endswith("--no-index -r/opt/ComfyUI/requirements.txt")
    assert "pipeline.comfyui_setup.check" in runs[-2]
    assert "compileall" in runs[-1]
