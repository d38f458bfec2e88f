from pathlib import Path

import pytest

from config.errors import InvalidSetting
from config.settings import Settings
from pipeline.runtime import load_runtime

ROUTE = """
[routes.flux]
gpus = ["L40S"]
cpu_cores = 4.0
memory_gib = 48
max_in_flight = 16
max_containers = 8
timeout_s = 600
idle_s = 60
"""


def test_a_route_that_no_kind_runs_on_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(ROUTE)
    with pytest.raises(InvalidSetting) as caught:
        load_runtime(Settings(routes_file=path), "local")
    error = caught.value
    assert (error.field, error.value, error.hint) == ("routes", "flux", "Did you mean Flux?")
    assert str(path) in error.message
