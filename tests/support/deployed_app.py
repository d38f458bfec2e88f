"""The app as it is deployed: the real file, by the real command line, on a plane of its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import Settings, variable
from handlers.comfyui.standin import standin_folder
from pipeline.api.auth import hashed
from pipeline.modal_app.container_files import APP_FILE
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.open import open_store
from tests.support.modal_plane import ModalPlane
from tests.support.modal_plane.registered import RegisteredApp
from tests.support.modal_plane.state import Delivery
from tests.support.modal_plane.wire import decoded
from tests.support.posthog_receiver import PostHogReceiver
from tests.support.stack import Bucket, wait_until

ROOT = Path(__file__).parents[2]
TENANT = "acme"
API_KEY = "ryla_key-of-the-tests"
DOORBELL = "token-of-the-tests"

# Leases live long: it is the platform that runs an input again, and not a lease that lapses.
LIFETIMES: dict[str, Any] = {
    "claim_seconds": 30,
    "spawned_seconds": 60,
    "running_seconds": 60,
    "renew_seconds": 1,
    "first_renew_seconds": 0.5,
    "backoff_base_seconds": 0.1,
    "backoff_cap_seconds": 0.1,
    "poll_active_seconds": 0.1,
    "poll_idle_seconds": 0.3,
    "job_timeout_seconds": 60,
}
ROUTES = """
[routes.Flux]
comfyui_flags = ["--allow-faults", "--step-seconds", "0"]

[routes.ZImage]
comfyui_flags = []
snapshot = "cpu"
"""
"""In containers alone: what was deployed has the packaged routes."""


@dataclass(frozen=True)
class Deployed(Bucket):
    """The bucket, and the app that serves it."""

    store: Any
    plane: ModalPlane
    app: RegisteredApp
    posthog: PostHogReceiver

    @property
    def api(self) -> str:
        web = self.app.functions["api"].web
        assert web is not None
        return web.url

    @contextmanager
    def without_schedule(self) -> Iterator[None]:
        """Whoever else hears of work must see to it."""
        assert wait_until(lambda: [c for c in self.plane.containers("dispatch") if c.process])
        (container,) = self.plane.containers("dispatch")
        with self.plane.paused(container.id):
            yield

    def runs(self, id: str, route: str = "Flux") -> list[Delivery]:
        """Each time that a container was handed this job."""
        every = self.plane.deliveries(route)
        return [delivery for delivery in every if ref_of(delivery).id == id]

    def wait_run(self, id: str, number: int = 1) -> Delivery:
        def known() -> bool:
            early = number == 1 and self.find_result(id) is not None
            return early or len(self.runs(id)) >= number

        assert wait_until(known, 30), self.plane.log()
        assert len(self.runs(id)) >= number, self.find_result(id)
        return self.runs(id)[number - 1]


def ref_of(delivery: Delivery) -> SpawnPayload:
    packed = delivery.input.item.input
    (payload,), _ = decoded(packed.args, packed.data_format)
    return SpawnPayload.model_validate(payload)


def secrets(bucket: Settings, posthog: str) -> dict[str, dict[str, str]]:
    """As an operator makes them; that of the bucket holds further settings."""
    given = bucket.model_dump(exclude_unset=True, exclude={"state_dir"}) | LIFETIMES
    settings = {variable(name): str(value) for name, value in given.items()}
    secret = bucket.secret_access_key
    assert secret is not None
    settings["RYLA_SECRET_ACCESS_KEY"] = secret.get_secret_value()
    return {
        "ryla-bucket": settings,
        "ryla-posthog": {"RYLA_POSTHOG_API_KEY": "phc_tests", "RYLA_POSTHOG_HOST": posthog},
        "ryla-huggingface": {"HF_TOKEN": "hf_tests"},
        "ryla-api-keys": {
            "RYLA_API_KEYS": f"{TENANT}:{hashed(API_KEY)}",
            "RYLA_DOORBELL_TOKEN": DOORBELL,
        },
    }


def image_env(folder: Path) -> Mapping[str, str]:
    """What images say, with this machine's paths: ComfyUI is the stand-in."""
    routes = folder / "routes.toml"
    routes.write_text(ROUTES)
    return {
        "RYLA_COMFYUI_DIR": str(standin_folder()),
        "RYLA_ROUTES_FILE": str(routes),
        "RYLA_STATE_DIR": str(folder / "state"),
        "RYLA_GPU": "L40S",
        "RYLA_LOG_FORMAT": "json",
    }


@contextmanager
def deployed(bucket: Settings, folder: Path) -> Iterator[Deployed]:
    with (
        PostHogReceiver() as posthog,
        ModalPlane(secrets(bucket, posthog.url), image_env=image_env(folder), idle_s=60) as plane,
    ):
        answer = plane.cli("deploy", APP_FILE, cwd=ROOT)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        # The schedule is every minute. One run follows the other, as there is one container.
        for _ in range(12):
            plane.call("dispatch")
        yield Deployed(open_store(bucket), plane, plane.app("ryla"), posthog)
        assert "Traceback" not in plane.log(), plane.log()
