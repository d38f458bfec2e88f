"""What the endpoints are given. Nothing in this package opens a bucket or reads the environment."""

from collections.abc import Callable
from dataclasses import dataclass, field

from handlers.media.intake_process import IntakeProcess
from pipeline.inputs.remote import Fetch, ImageFetcher
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import SafeStore


def notify_nobody(key: str | None = None) -> None:
    """Where no dispatcher runs beside the API: whoever polls the bucket finds the job."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds. Only tests change them."""

    look: float = 1.0
    """Between two LISTs while anyone waits."""
    first_look: float = 0.25
    """From the first waiter to the first look."""
    job_listing: float = 3.0
    """How old a listing may be that limits are judged by."""
    listing: float = 1.0
    """How old the one may be that GET /jobs shows."""
    store_away: float = 15.0
    """How long the store may give no answer before those who wait for a job are told."""
    image_wait: float = 130.0
    """Before a waiting client is sent on: a request must not take 150 s on Modal."""
    stream: float = 130.0
    """After which an event stream ends, to be resumed."""
    body: float = 60.0
    """In which a request's body must have arrived."""


@dataclass(frozen=True)
class ApiDependencies:
    runtime: RuntimeConfig
    store: SafeStore
    notify: Callable[[str | None], None] = notify_nobody
    """Called when work was heard of, with its inbox key where that is known: whoever dispatches
    looks at once. Returns at once, never raises, and may be called from any thread."""
    fetch: Fetch | None = None
    """Gets reference pictures by https; else those of the hosts that the settings list."""
    timeouts: Timeouts = Timeouts()
    pictures: IntakeProcess = field(default_factory=IntakeProcess)
    """Decodes them; closed with the app."""

    @property
    def images(self) -> Fetch:
        """Raises InvalidInput for a host that is not listed."""
        if self.fetch is not None:
            return self.fetch
        hosts = frozenset(self.runtime.settings.picture_hosts.lower().replace(" ", "").split(","))
        return ImageFetcher(hosts - {""}).fetch
