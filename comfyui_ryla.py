"""The Modal app: `modal deploy comfyui_ryla.py`. Only wiring: what runs is in pipeline/modal_app/.

    Flux, InstantId, ZImage   one class for each route of routes.toml: a set of weights on a GPU
    dispatch                  each minute: claims manifests and spawns the classes
    api                       the one web endpoint
    download_models           fills the volume of weights
    switch_models             shows and switches which versions of them are in use
    tidy_loras                keeps the volume of LoRAs within its size

What runs is imported where it runs: this file alone is imported where the app is deployed.
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import modal
import modal.experimental
from modal.config import config as modal_config

from system import process_start  # noqa: F401  first of ours: a cold start is measured from here

# isort: split
from config.routes import Route
from pipeline.modal_app import image, modal_deployment, resources
from pipeline.modal_app.modal_deployment import Deployment, takes_snapshot, worker_resources

Mounts = dict[str | PurePosixPath, modal.Volume | modal.CloudBucketMount]

DEPLOYED = Deployment.of(Path(__file__).parent, os.environ, modal_config.get("environment"))
os.environ.setdefault("MODAL_IMAGE_BUILDER_VERSION", image.BUILDER)

app = modal.App(DEPLOYED.settings.modal_app, tags=DEPLOYED.tags)


def _image(recipe: image.Recipe) -> modal.Image:
    slim = modal.Image.debian_slim(python_version=recipe.python)
    return image.build(slim, recipe, DEPLOYED.root, DEPLOYED.settings)


def _secret(named: resources.NamedSecret) -> modal.Secret:
    named = resources.of_app(named, DEPLOYED.settings.modal_app)
    return modal.Secret.from_name(named.name, required_keys=list(named.keys))


def _volume(named: resources.NamedVolume) -> modal.Volume:
    named = resources.of_app(named, DEPLOYED.settings.modal_app)
    return modal.Volume.from_name(
        named.name, create_if_missing=True, version=resources.VOLUME_VERSION
    )


SERVICE_IMAGE = _image(image.service())
WORKER_IMAGE = _image(image.worker())
BUCKET, POSTHOG = _secret(resources.BUCKET), _secret(resources.POSTHOG)
WEIGHTS, LORAS, KERNELS = (
    _volume(each) for each in (resources.WEIGHTS, resources.LORA_FILES, resources.KERNELS)
)
WEIGHTS_AS_THEY_ARE = WEIGHTS.with_mount_options(read_only=True)
READ_WEIGHTS: Mounts = {str(resources.WEIGHTS.path): WEIGHTS_AS_THEY_ARE}
WRITE_WEIGHTS: Mounts = {str(resources.WEIGHTS.path): WEIGHTS}
WRITE_LORAS: Mounts = {str(resources.LORA_FILES.path): LORAS}
ENV: dict[str, str | None] = {**DEPLOYED.env}


@app.function(
    image=SERVICE_IMAGE,
    env=ENV,
    secrets=[BUCKET, POSTHOG],
    volumes=READ_WEIGHTS,  # a job that needs a face pack is refused before a GPU starts
    schedule=modal.Cron(modal_deployment.SCHEDULE),
    max_containers=1,
    scaledown_window=90,  # the same container takes the next minute's run
    timeout=modal_deployment.RUN_TIMEOUT_S,
    cpu=modal_deployment.DISPATCHER_CORES,
    memory=modal_deployment.DISPATCHER_MIB,
)
def dispatch() -> Mapping[str, int]:
    """One scheduled run of the dispatcher. How often its ticks did what."""
    from pipeline.modal_app import dispatch

    return dispatch.run(WEIGHTS_AS_THEY_ARE)


@app.function(
    image=SERVICE_IMAGE,
    env=ENV,
    secrets=[BUCKET, POSTHOG, _secret(resources.API_KEYS)],
    volumes=READ_WEIGHTS,
    min_containers=DEPLOYED.settings.modal_api_min_containers or None,
    max_containers=4,
    scaledown_window=120,
    timeout=400,  # an old client may wait 300 s in all
    cpu=modal_deployment.API_CORES,
    memory=modal_deployment.API_MIB,
)
@modal.concurrent(max_inputs=modal_deployment.API_REQUESTS)
@modal.asgi_app(
    custom_domains=DEPLOYED.domains, requires_proxy_auth=False
)  # the app asks for keys itself
def api() -> Any:
    from pipeline.modal_app.api import make_asgi

    return make_asgi(WEIGHTS_AS_THEY_ARE)


@app.function(
    image=SERVICE_IMAGE,
    env=ENV,
    secrets=[BUCKET, _secret(resources.HUGGING_FACE)],
    volumes=WRITE_WEIGHTS,
    max_containers=1,  # two would write the same files
    timeout=modal_deployment.DOWNLOAD_S,
    cpu=2.0,
    memory=4096,
)
def download_models(sets: str = "", accept_licences: bool = False) -> list[dict[str, Any]]:
    """What was downloaded, of `sets` with spaces or commas between; of all that are in use if there
    are none."""
    from pipeline.modal_app.model_functions import download

    return download(sets, accept_licences, WEIGHTS.commit)


@app.function(
    image=SERVICE_IMAGE,
    env=ENV,
    secrets=[BUCKET],
    volumes=WRITE_WEIGHTS,
    max_containers=1,
    timeout=300,
    cpu=0.25,
    memory=256,
)
def switch_models(action: str = "diff", sets: str = "", to: int = 0) -> Any:
    """`action` is diff, activate, rollback or history; `to` is the version to roll back to, 0 for
    the one before. A document of what there is, or of what was done."""
    from pipeline.modal_app.model_functions import switch

    return switch(action, sets, to, WEIGHTS.commit)


@app.function(
    image=SERVICE_IMAGE,
    env=ENV,
    secrets=[BUCKET],
    volumes=WRITE_LORAS,
    schedule=modal.Cron(modal_deployment.TIDY_SCHEDULE),
    max_containers=1,
    scaledown_window=2,
    timeout=600,
    cpu=0.125,
    memory=192,
)
def tidy_loras() -> int:
    """How many LoRAs left the volume that workers share."""
    from pipeline.modal_app.model_functions import evict_loras

    return evict_loras(LORAS)


def _worker_class(route: Route) -> type:
    """The lifecycle of pipeline/worker/worker.py under the names by which the platform calls it."""

    class Shell:
        @modal.enter(snap=takes_snapshot(route))
        def load(self) -> None:
            from pipeline.modal_app.modal_worker import make_worker

            self.worker = make_worker(route.name, os.environ, LORAS)
            self.worker.load()

        @modal.enter(snap=False)
        def attach(self) -> None:
            self.worker.attach()

        @modal.method()
        def run(self, payload: dict[str, Any]) -> dict[str, Any]:
            reply = self.worker.run(payload, modal.current_function_call_id())
            if not self.worker.fit:  # this container ends; others take what waits
                modal.experimental.stop_fetching_inputs()
            return reply

        @modal.exit()
        def close(self) -> None:
            self.worker.close()

    # The container finds the class as this module's global of this name.
    Shell.__name__ = Shell.__qualname__ = route.name
    Shell.__module__ = __name__
    return Shell


for _route in DEPLOYED.routes.routes.values():
    globals()[_route.name] = app.cls(
        image=WORKER_IMAGE,
        env=ENV,
        secrets=[BUCKET, POSTHOG],
        volumes={**READ_WEIGHTS, **WRITE_LORAS, str(resources.KERNELS.path): KERNELS},
        **worker_resources(_route),
    )(_worker_class(_route))
