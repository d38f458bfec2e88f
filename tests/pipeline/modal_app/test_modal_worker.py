from pathlib import Path

import pytest

from config.routes import load_routes
from config.settings import Settings
from pipeline.modal_app.modal_deployment import worker_resources
from pipeline.modal_app.modal_worker import limited, make_worker


@pytest.mark.parametrize(
    ("setting", "route_s", "limit"), [(600, 600, 600), (900, 600, 600), (60, 600, 60)]
)
def test_a_job_ends_by_its_own_limit_before_the_platform_ends_it(
    setting: float, route_s: int, limit: float
) -> None:
    route = load_routes().route("Flux").model_copy(update={"timeout_s": route_s})
    found = limited(Settings(job_timeout_seconds=setting), route).job_timeout_seconds
    assert found == limit
    assert found < worker_resources(route)["timeout"]


class Unmounted:
    def reload(self) -> None:
        raise AssertionError

    def commit(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(("snapshot", "imported"), [("cpu", True), ("off", False)])
def test_what_a_snapshot_of_memory_is_taken_of_has_comfyui_imported(
    tmp_path: Path, snapshot: str, imported: bool
) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(f"[routes.Flux]\nsnapshot = '{snapshot}'\ncomfyui_flags = []\n")
    home = Path(__file__).parents[2] / "support/forking_comfyui"
    named = {"COMFYUI_DIR": home, "ROUTES_FILE": routes, "STATE_DIR": tmp_path, "BUCKET": "jobs"}
    named |= {"LORA_DIR": tmp_path / "loras", "MODELS_DIR": tmp_path / "models"}
    environ = {f"RYLA_{name}": str(value) for name, value in named.items()}
    worker = make_worker("Flux", environ, Unmounted())
    try:
        worker.load()
        setup = worker._setup
        process = None if setup is None else setup.server._process
        assert (process is not None and process._launcher is not None) is imported
    finally:
        worker.close()
