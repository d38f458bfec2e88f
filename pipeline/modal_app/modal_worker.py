"""A worker as a container holds it."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp

from config.logs import configure_logs
from config.platforms import MODAL
from config.routes import Route, load_routes
from config.settings import Settings, load_settings
from pipeline.loras.cache import lora_folder
from pipeline.modal_app.modal_deployment import takes_snapshot
from pipeline.modal_app.mounted import Handle, MountedVolume
from pipeline.worker.worker import Worker
from system.process_start import born_at


def make_worker(route: str, environ: Mapping[str, str], loras: Handle) -> Worker:
    """`loras` is the volume that is mounted at the folder of LoRAs. Raises InvalidSetting."""
    settings = load_settings(environ)
    configure_logs(settings)
    row = load_routes(settings.routes_file).route(route)
    return Worker(
        limited(settings, row),
        route,
        platform=MODAL,
        environ=environ,
        work_dir=Path(mkdtemp(prefix=f"ryla-{route}-")),
        loras=MountedVolume(lora_folder(settings), loras),
        # What a snapshot restores was born at its capture, perhaps days ago.
        born=None if takes_snapshot(row) else born_at(),
        snapshot=row.snapshot == "cpu",
    )


def limited(settings: Settings, route: Route) -> Settings:
    """A job of this route ends by its own limit before the platform ends it."""
    seconds = min(settings.job_timeout_seconds, route.timeout_s)
    return settings.model_copy(update={"job_timeout_seconds": seconds})
