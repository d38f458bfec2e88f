import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.models import load_models
from config.settings import Settings
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.server import running
from pipeline.doctor import Health, Row, run_bucket_suite, run_checks
from pipeline.store.base import Always, Condition, Written
from pipeline.store.bucket_suite import Verdict
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from pipeline.store.open import open_store
from tests.support.posthog_receiver import Answer, PostHogReceiver
from workflows import interfaces


class ForgetfulStore(MemoryStore):
    """Takes conditional writes and does not honour them."""

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        return super().put(key, body, Always(), content_type)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def rows(settings: Settings, **changes: Any) -> Mapping[str, Row]:
    changed = Settings.model_validate({**dict(settings), **changes})
    return {row.check: row for row in run_checks(changed, dict(os.environ))}


def test_a_good_bucket_passes_and_is_left_as_it_was(bucket: Settings) -> None:
    found = rows(bucket)

    assert {row.health for row in found.values()} == {Health.OK}
    assert "does not matter" in found["clock"].found
    assert "dlib-resnet-v1" in found["face models"].found
    assert not open_store(bucket).list("").entries


def test_a_table_with_a_name_that_nothing_knows_is_told(bucket: Settings, tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text('[routes.Flux]\nplatforms = ["modall"]\n')
    found = rows(bucket, routes_file=routes)["tables"]
    assert found.health is Health.FAILED
    assert "routes.Flux.platforms: no platform is named 'modall'" in found.found
    assert found.fix == "Did you mean modal?"


def test_a_face_pack_that_is_named_and_not_there_is_told(bucket: Settings) -> None:
    found = rows(bucket, faces_pack="ours")["face models"]

    assert found.health is Health.OK
    assert "ours is not there" in found.found
    assert "flux-instantid is refused" in found.found


def test_a_bucket_that_refuses_us_is_the_end_of_its_checks(bucket: Settings) -> None:
    found = rows(bucket, access_key_id="wrong", secret_access_key="wrong")

    assert found["bucket"].health is Health.FAILED
    assert found["bucket"].fix
    assert "conditional writes" not in found
    assert "ComfyUI" in found


def test_a_store_that_forgets_its_conditions_fails(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.doctor.open_store", lambda settings: SafeStore(ForgetfulStore()))
    row = rows(bucket)["conditional writes"]

    assert row.health is Health.FAILED
    assert "a second If-None-Match" in row.found
    assert row.fix


@pytest.mark.parametrize(
    ("conditional", "said"),
    [(True, "DELETE as well"), (False, "goes unfiled")],
)
def test_whether_delete_is_conditional_is_told_and_is_no_failure(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch, conditional: bool, said: str
) -> None:
    store = SafeStore(MemoryStore(), conditional_delete=conditional)
    monkeypatch.setattr("pipeline.doctor.open_store", lambda settings: store)
    row = rows(bucket)["conditional writes"]

    assert row.health is Health.OK
    assert said in row.found


@pytest.mark.thorough  # tests/pipeline/store runs the suite on SeaweedFS in make test
def test_the_bucket_suite_finds_a_good_bucket_well_and_leaves_it_so(bucket: Settings) -> None:
    findings = list(run_bucket_suite(bucket, rounds=1))

    assert {each.health for each in findings} == {Verdict.OK}
    assert "racing creates" in {each.check for each in findings}
    assert not open_store(bucket).list("").entries


@pytest.mark.parametrize(("hours", "said"), [(2, "behind"), (-2, "ahead of")])
def test_this_machines_clock_may_be_wrong(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch, hours: int, said: str
) -> None:
    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(hours=hours)

    monkeypatch.setattr(
        "pipeline.doctor.open_store", lambda settings: SafeStore(MemoryStore(clock))
    )
    row = rows(bucket)["clock"]

    assert row.health is Health.WARNING
    assert f"s {said} the store's" in row.found
    assert abs(int(row.found.split("clock is ")[1].split()[0]) - 7200) < 5


def test_without_comfyui_the_stand_in_is_named(bucket: Settings) -> None:
    assert "stand-in" in rows(bucket)["ComfyUI"].found


def test_what_each_gpu_serves_is_told_and_what_none_does(bucket: Settings) -> None:
    unknown = rows(bucket)["GPUs"]
    assert (unknown.health, unknown.found) == (
        Health.OK,
        "the GPU, of unknown memory: Flux, InstantId, ZImage",
    )
    small = rows(bucket, gpus="0,1", gpu_memory_gib="16,24")["GPUs"]
    assert small.health is Health.WARNING
    assert small.found == (
        "GPU 0, 16.0 GiB: InstantId; GPU 1, 24.0 GiB: InstantId, ZImage, in turns;"
        " Flux is not served: it needs 34.6 GiB of a GPU, and GPU 1 has 24.0 GiB"
    )
    assert "RYLA_FORCED_ROUTES=Flux" in (small.fix or "")
    wrong = rows(bucket, forced_routes="Fux")["GPUs"]
    assert wrong.health is Health.FAILED
    assert "they go to modal" in rows(bucket, engine="modal")["GPUs"].found


def test_a_running_comfyui_is_asked_what_it_is(bucket: Settings, tmp_path: Path) -> None:
    with running(Options.under(tmp_path)) as url:
        row = rows(bucket, comfyui_url=url)["ComfyUI"]

    assert row.health is Health.OK
    assert "standin" in row.found


def test_a_comfyui_that_does_not_answer_fails(bucket: Settings) -> None:
    row = rows(bucket, comfyui_url="http://127.0.0.1:1")["ComfyUI"]

    assert row.health is Health.FAILED
    assert "comfyui_unavailable" in row.found


def test_a_comfyui_with_other_nodes_is_a_warning(
    bucket: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = interfaces.committed()
    nodes = dict(ours.nodes)
    name, node = next(iter(nodes.items()))
    with running(Options.under(tmp_path)) as url:
        monkeypatch.setattr(
            interfaces,
            "committed",
            lambda: replace(ours, nodes={**nodes, "NodeOfTomorrow": node}),
        )
        missing = rows(bucket, comfyui_url=url)["ComfyUI"]
        other = replace(node, output_node=not node.output_node)
        monkeypatch.setattr(
            interfaces, "committed", lambda: replace(ours, nodes={**nodes, name: other})
        )
        changed = rows(bucket, comfyui_url=url)["ComfyUI"]

    assert missing.health is changed.health is Health.WARNING
    assert "NodeOfTomorrow" in missing.found
    assert name in changed.found


def test_a_comfyui_folder_is_looked_at_and_not_started(bucket: Settings, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("raise SystemExit('started')")
    row = rows(bucket, comfyui_dir=tmp_path)["ComfyUI"]

    assert row.health is Health.OK
    assert f"Python {sys.version.split()[0]}" in row.found


def test_a_folder_without_comfyui_fails(bucket: Settings, tmp_path: Path) -> None:
    row = rows(bucket, comfyui_dir=tmp_path / "nothing")["ComfyUI"]

    assert row.health is Health.FAILED
    assert "RYLA_COMFYUI_DIR" in str(row.fix)


def test_an_interpreter_that_does_not_run_fails(bucket: Settings, tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    row = rows(bucket, comfyui_dir=tmp_path, comfyui_python=tmp_path / "python")["ComfyUI"]

    assert row.health is Health.FAILED
    assert "RYLA_COMFYUI_PYTHON" in str(row.fix)


def test_events_without_a_key_go_to_a_file_that_is_named(bucket: Settings) -> None:
    assert str(bucket.state_dir / "events.jsonl") in rows(bucket)["PostHog"].found


def test_a_posthog_that_answers_is_well_and_gets_no_event(bucket: Settings) -> None:
    with PostHogReceiver() as posthog:
        row = rows(bucket, posthog_api_key="phc_x", posthog_host=posthog.url)["PostHog"]

    assert (row.health, row.fix) == (Health.OK, None)
    assert not posthog.accepted()


def test_a_key_that_posthog_refuses_is_a_warning_with_a_fix(bucket: Settings) -> None:
    with PostHogReceiver() as posthog:
        posthog.answer = Answer(401)
        row = rows(bucket, posthog_api_key="phc_x", posthog_host=posthog.url)["PostHog"]

    assert row.health is Health.WARNING
    assert "RYLA_POSTHOG_API_KEY" in str(row.fix)


def test_a_posthog_that_does_not_answer_is_a_warning(bucket: Settings) -> None:
    row = rows(bucket, posthog_api_key="phc_x", posthog_host="http://127.0.0.1:1")["PostHog"]

    assert row.health is Health.WARNING
    assert "RYLA_POSTHOG_HOST" in str(row.fix)


def test_jobs_run_without_seaweedfs(bucket: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    row = rows(bucket)["SeaweedFS"]

    assert row.health is Health.WARNING
    assert row.fix


def test_licences_count_only_where_pictures_are_sold(bucket: Settings) -> None:
    assert rows(bucket)["licences"].health is Health.OK

    sold = rows(bucket, commercial_use=True)["licences"]
    assert sold.health is Health.FAILED
    assert "flux1-dev" in sold.found
    assert "clip_l" not in sold.found
    assert "licence_note" in str(sold.fix)


def test_a_licence_note_lets_weights_be_used_for_pay(bucket: Settings, tmp_path: Path) -> None:
    models = load_models()
    noted = [each.name for each in models.weights_by_name.values() if not each.commercial_use]
    file = tmp_path / "models.toml"
    file.write_text("".join(f'[weights.{name}]\nlicence_note = "contract 17"\n' for name in noted))

    assert rows(bucket, commercial_use=True, models_file=file)["licences"].health is Health.OK
