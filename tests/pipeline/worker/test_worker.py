import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from structlog.testing import capture_logs

from config.errors import InvalidSetting
from config.settings import Settings, changed
from pipeline.contract.lease import Phase
from pipeline.contract.result import Result, Status
from pipeline.local.seaweed import SeaweedServer
from pipeline.queue.spawn import SpawnPayload, make_payload
from pipeline.store.conditional import Won
from pipeline.store.open import open_store
from pipeline.worker.worker import Worker
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON
from tests.support.posthog_receiver import Answer, PostHogReceiver
from tests.support.seaweed import fresh_bucket
from tests.support.stack import Bucket, quick, wait_until
from tests.support.xmp import read_provenance

pytestmark = pytest.mark.xdist_group("worker")


def worker_of(settings: Settings, work_dir: Path) -> Worker:
    return Worker(settings, "Flux", platform="test", environ=os.environ, work_dir=work_dir)


@pytest.fixture(scope="module")
def settings(seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return quick(fresh_bucket(seaweed, tmp_path_factory.mktemp("state")), gpu="L40S")


@pytest.fixture(scope="module")
def bucket(settings: Settings) -> Bucket:
    return Bucket(open_store(settings))


@pytest.fixture(scope="module")
def worker(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = worker_of(settings, tmp_path_factory.mktemp("worker"))
    worker.load()
    worker.attach()
    yield worker
    worker.close()


def spawned(bucket: Bucket, id: str, manifest: bytes, *, attempt: int = 1) -> SpawnPayload:
    """A job as a dispatcher leaves it when it has spawned it."""
    nonce = f"claim-{attempt}"
    lease = a_lease(
        id=id,
        entry=f"inbox/{id}.json",
        tenant=None,
        attempt=attempt,
        claim=nonce,
        nonce=nonce,
        ttl_s=60,
        submitted_at=NOON,
    )
    bucket.store.create(f"jobs/{id}/manifest.json", manifest)
    bucket.store.delete(f"leases/{id}.json")
    claimed = bucket.store.create(f"leases/{id}.json", lease.body())
    assert isinstance(claimed, Won)
    return make_payload(lease, claimed.etag, "flux-dev", manifest, NOON)


def run(worker: Worker, bucket: Bucket, id: str, manifest: bytes) -> Result:
    reply = worker.run(spawned(bucket, id, manifest).model_dump(mode="json"), "call-1")
    assert reply == {"id": id, "ending": "committed"}
    return bucket.result(id)


def test_the_first_job_pays_for_the_start_and_the_next_one_does_not(
    worker: Worker, bucket: Bucket
) -> None:
    first, second = (run(worker, bucket, id, body()) for id in ("first", "second"))
    assert first.metrics is not None
    assert second.metrics is not None
    assert first.metrics.cold
    assert first.metrics.start > 0.1
    assert not second.metrics.cold
    assert second.metrics.start == 0
    parts = first.metrics.cold_parts
    assert parts is not None
    waited = parts.container + parts.imports + parts.comfyui
    assert waited == pytest.approx(first.metrics.start, abs=1e-3)
    assert parts.container == 0, "this process is not the worker's own"
    assert second.metrics.cold_parts is None


def test_jobs_are_billed_on_the_gpu_that_the_setting_names(worker: Worker, bucket: Bucket) -> None:
    result = run(worker, bucket, "billed", body())
    assert result.metrics is not None
    assert result.cost is not None
    second = 0.000542 + 4 * 0.0000131 + 48 * 0.00000222
    assert result.metrics.gpu == "L40S"
    # Seconds are told to a tenth of a millisecond, which is worth 3e-8 dollars.
    assert result.cost.usd == pytest.approx(second * result.metrics.gpu_seconds, rel=1e-3, abs=1e-7)


def test_a_retry_repeats_the_same_bytes(worker: Worker, bucket: Bucket) -> None:
    manifest = body("a red door", input={"num_images": 2})
    run(worker, bucket, "again", manifest)
    bucket.store.delete("jobs/again/result.json")
    payload = spawned(bucket, "again", manifest, attempt=2)
    worker.run(payload.model_dump(mode="json"))
    for n in range(2):
        first = bucket.read(f"jobs/again/out/a1/image-{n}.png")
        assert bucket.read(f"jobs/again/out/a2/image-{n}.png") == first
        assert read_provenance(first)["job_id"] == "again"
    assert bucket.read("jobs/again/out/a2/image-0.png") != bucket.read(
        "jobs/again/out/a2/image-1.png"
    )


def test_a_reference_that_cannot_be_read_is_answered_and_survived(
    worker: Worker, bucket: Bucket
) -> None:
    assert worker.run({"id": "x", "what": "is this"}) == {"id": "x", "ending": "unreadable"}
    assert run(worker, bucket, "after", body()).status is Status.SUCCEEDED


def test_a_store_that_is_away_is_answered_with_its_error(
    settings: Settings, tmp_path: Path, bucket: Bucket, worker: Worker
) -> None:
    payload = spawned(bucket, "away", body())
    assert worker._context is not None
    raw, worker._context.store.raw = worker._context.store.raw, _Away()  # type: ignore[assignment]
    tries, worker._context.store._tries = worker._context.store._tries, 1
    try:
        reply = worker.run(payload.model_dump(mode="json"))
    finally:
        worker._context.store.raw, worker._context.store._tries = raw, tries
    assert (reply["ending"], reply["error"]["code"]) == ("error", "store_unavailable")


class _Away:
    def __getattr__(self, name: str) -> object:
        from pipeline.store.base import OutcomeUnknown

        raise OutcomeUnknown("away")


def test_a_comfyui_that_does_not_start_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("raise SystemExit('no weights here')")
    broken = settings.model_copy(update={"comfyui_dir": tmp_path})
    worker = worker_of(broken, tmp_path / "work")
    worker.load()
    with capture_logs() as logs:
        worker.attach()
    assert worker.start_error is not None
    assert "no weights here" in "".join(worker.start_error.log_tail)
    assert "no weights here" in "".join(logs[-1]["log_tail"]), "an operator sees the log alone"
    worker.close()


def test_on_a_platform_a_comfyui_that_does_not_start_hands_its_job_back_with_the_reason(
    settings: Settings, tmp_path: Path, bucket: Bucket
) -> None:
    (tmp_path / "main.py").write_text("raise SystemExit('no weights here')")
    broken = settings.model_copy(update={"comfyui_dir": tmp_path})
    worker = Worker(
        broken, "Flux", platform="modal", environ=os.environ, work_dir=tmp_path / "work"
    )
    worker.load()
    worker.attach()
    try:
        payload = spawned(bucket, "unlucky", body())
        assert worker.run(payload.model_dump(mode="json"))["ending"] == "retry"
        assert not worker.fit, "no further job should meet it"
    finally:
        worker.close()
    lease = bucket.lease("unlucky")
    assert lease is not None
    assert lease.error is not None
    assert (lease.phase, lease.error.code) == (Phase.RETRY, "comfyui_died")
    assert "no weights here" in "".join(lease.error.log_tail)
    assert lease.spent.usd > 0


def test_a_posthog_that_hangs_delays_neither_the_next_job_nor_the_end(
    settings: Settings, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with PostHogReceiver() as posthog:
        posthog.answer = Answer(hangs=True)
        away = changed(
            settings,
            posthog_api_key="phc_x",
            posthog_host=posthog.url,
            posthog_timeout_seconds=120.0,
        )
        worker = worker_of(away, tmp_path)
        worker.load()
        worker.attach()
        began = time.monotonic()
        for id in ("hung-1", "hung-2"):
            payload = spawned(bucket, id, body())
            assert worker.run(payload.model_dump(mode="json"))["ending"] == "committed"
        worker.close()
        assert time.monotonic() - began < 60, "half of the time that PostHog has for one answer"
    assert len(posthog.received) == 1
    for id, tries in (("hung-1", 1), ("hung-2", 0)):
        lease = bucket.lease(id)
        assert lease is not None
        assert (lease.phase, lease.committed) == (Phase.RETRY, True)
        assert (lease.deliveries, lease.delivery_tries) == (1, tries)


def test_a_gpu_that_no_table_knows_is_a_wrong_setting(settings: Settings, tmp_path: Path) -> None:
    worker = worker_of(settings.model_copy(update={"gpu": "GTX-970"}), tmp_path)
    worker.load()
    try:
        with pytest.raises(InvalidSetting, match="GTX-970"):
            worker.attach()
    finally:
        worker.close()


# The platform takes the machine, or runs an input twice

SLOW = "[[fault:slow=20@1]]"


def one_input(settings: Settings, work_dir: Path, payload: SpawnPayload) -> subprocess.Popen[bytes]:
    """A container that is given one input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.one_input", str(work_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **settings.environ()},
    )
    assert process.stdin is not None
    process.stdin.write(payload.model_dump_json().encode())
    process.stdin.close()
    return process


def step(bucket: Bucket, id: str) -> str:
    lease = bucket.lease(id)
    return (lease and lease.progress and lease.progress.step) or ""


@pytest.mark.thorough
def test_a_container_that_is_taken_keeps_its_job_and_the_input_runs_again(
    settings: Settings, worker: Worker, bucket: Bucket, tmp_path: Path
) -> None:
    manifest = body(SLOW, input={"steps": 50})
    payload = spawned(bucket, "taken", manifest)
    container = one_input(settings, tmp_path, payload)
    try:
        running = bucket.wait_running("taken")
        assert wait_until(lambda: "KSampler" in step(bucket, "taken"))
        noticed = time.monotonic()
        container.send_signal(signal.SIGINT)
        assert container.stdout is not None
        assert container.stdout.read().endswith(b"interrupted")
        assert container.wait(10) == 0
        assert time.monotonic() - noticed < 10
    finally:
        container.kill()
        container.wait()
        if container.stdout is not None:
            container.stdout.close()
    lease = bucket.lease("taken")
    assert lease is not None
    assert (lease.phase, lease.nonce) == (Phase.RUNNING, running.nonce)
    assert bucket.find_result("taken") is None

    assert worker.run(payload.model_dump(mode="json"), "call-1")["ending"] == "committed"
    result = bucket.result("taken")
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    assert result.cost is not None
    assert result.cost.upper_bound
    bucket.check_outputs(result)


def test_a_worker_that_was_told_in_another_way_raises_what_the_signal_would(
    settings: Settings, worker: Worker, bucket: Bucket
) -> None:
    payload = spawned(bucket, "told", body("[[fault:slow=20]]", input={"steps": 50}))

    def tell() -> None:
        bucket.wait_running("told")
        worker.preempt()

    thread = Thread(target=tell)
    thread.start()
    try:
        assert worker.fit
        with pytest.raises(KeyboardInterrupt):
            worker.run(payload.model_dump(mode="json"))
        assert not worker.fit
        with pytest.raises(KeyboardInterrupt):  # nothing more is begun
            worker.run(spawned(bucket, "late", body()).model_dump(mode="json"))
    finally:
        thread.join()
        worker._preempted.clear()
    late = bucket.lease("late")
    assert late is not None
    assert late.phase is Phase.CLAIMED


def test_an_input_that_runs_again_after_its_end_touches_nothing(
    worker: Worker, bucket: Bucket
) -> None:
    payload = spawned(bucket, "over", body())
    assert worker.run(payload.model_dump(mode="json"))["ending"] == "committed"
    first = bucket.result("over")
    assert worker.run(payload.model_dump(mode="json"))["ending"] == "stale"
    assert bucket.result("over") == first
