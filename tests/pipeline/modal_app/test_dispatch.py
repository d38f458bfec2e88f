from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.errors import InvalidSetting
from pipeline.modal_app.dispatch import (
    DispatchDependencies,
    ScheduledRuns,
    models_version,
    open_dependencies,
)
from pipeline.models.versions import Version, append
from tests.support.pipeline_fixture import PipelineFixture


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture(holding=True, poll_active_seconds=0.05, poll_idle_seconds=0.2)
    yield pipeline
    pipeline.close()


@pytest.fixture
def dependencies(pipeline: PipelineFixture) -> DispatchDependencies:
    return DispatchDependencies(
        pipeline.settings, pipeline.runtime, pipeline.store, pipeline.engine
    )


def test_a_run_spawns_what_waits_and_says_what_it_did(
    pipeline: PipelineFixture, dependencies: DispatchDependencies
) -> None:
    pipeline.submit("one")
    pipeline.submit("two")
    done = ScheduledRuns(dependencies).run(0.1)
    assert (done["spawned"], done["failed"]) == (2, 0)
    assert done["ticks"] >= 1
    assert {payload.id for payload in pipeline.held.payloads} == {"one", "two"}


def test_an_idle_run_goes_on_idling_where_the_last_one_ended(
    dependencies: DispatchDependencies,
) -> None:
    runs = ScheduledRuns(dependencies)
    first, second = runs.run(0.6), runs.run(0.6)
    assert second["ticks"] < first["ticks"]
    assert second["lists"] == 2 * second["ticks"]


def test_a_lease_that_one_run_wrote_is_not_read_by_the_next(
    pipeline: PipelineFixture, dependencies: DispatchDependencies
) -> None:
    runs = ScheduledRuns(dependencies)
    pipeline.submit("one")
    runs.run(0.1)
    pipeline.raw.gets.clear()
    runs.run(0.1)
    assert not [key for key in pipeline.raw.gets if key.startswith("leases/")]


def test_its_leases_say_that_a_dispatcher_on_modal_wrote_them(
    pipeline: PipelineFixture, dependencies: DispatchDependencies
) -> None:
    pipeline.submit("one")
    ScheduledRuns(dependencies).run(0.1)
    lease = pipeline.lease("one")
    assert lease is not None
    assert lease.owner.startswith("modal@")


def test_its_events_say_modal_and_which_version() -> None:
    environ = {
        "RYLA_BUCKET": "jobs",
        "RYLA_APP_VERSION": "1.0+abc",
        "RYLA_POSTHOG_API_KEY": "phc_tests",
    }
    dependencies = open_dependencies(environ, checked=False)
    assert dependencies.runtime.platform == "modal"
    assert dependencies.settings.app_version == "1.0+abc"
    assert replace(dependencies).memory is dependencies.memory


def test_a_new_version_of_the_weights_is_taken_up_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RYLA_MODELS_DIR", str(tmp_path))

    class Weights:
        def reload(self) -> None:
            """What another container has committed appears."""
            now = datetime(2026, 3, 1, tzinfo=UTC)
            append(tmp_path, Version(number=7, action="activate", at=now, sets={}))

        def commit(self) -> None:
            raise AssertionError("a dispatcher writes no weights")

    assert models_version(Weights()) == 7


def test_a_blank_key_of_posthog_stops_it_before_it_claims_anything() -> None:
    """Events would go to a file that dies with the container."""
    with pytest.raises(InvalidSetting, match="RYLA_POSTHOG_API_KEY is blank"):
        open_dependencies({"RYLA_BUCKET": "jobs", "RYLA_POSTHOG_API_KEY": ""}, checked=False)
