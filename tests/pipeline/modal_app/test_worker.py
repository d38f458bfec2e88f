import pytest

from config.settings import Settings
from config.tables import load_routes
from pipeline.modal_app.deployment import worker_resources
from pipeline.modal_app.worker import limited


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
