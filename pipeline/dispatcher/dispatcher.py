"""What a dispatcher is made of."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import random
from threading import Lock
from uuid import uuid4

from events.sender import Sender
from handlers.media import images
from handlers.media.intake_process import Intake
from pipeline.dispatcher.engine import Engine
from pipeline.dispatcher.memory import DispatcherMemory
from pipeline.dispatcher.owed_alarms import AlarmPost
from pipeline.dispatcher.reject import Rejector
from pipeline.inputs.supplies import InputChecker
from pipeline.notify.callbacks import require_alarm_secret
from pipeline.notify.delivery import ResultDelivery
from pipeline.notify.job_events import Origin
from pipeline.public_https import INTERNET, PublicHttps
from pipeline.runtime import RuntimeConfig
from pipeline.sheets.end_files import EndFilesWriter
from pipeline.store.conditional import SafeStore

SHEET_WAIT_S, SHEET_READ_S = 10.0, 3.5
"""For the sheet of the same tick that comes before, and for the pictures of one, some 35: a tick
that begins at the end of a scheduled run has 8 s until the platform ends it."""


@dataclass(frozen=True)
class Dispatcher:
    """The ports of a tick, and who ticks."""

    store: SafeStore
    engine: Engine
    sender: Sender
    runtime: RuntimeConfig
    pool: ThreadPoolExecutor
    """Jobs are taken side by side in it."""
    owner: str
    """Written into the leases that it claims, for people."""
    memory: DispatcherMemory = field(default_factory=DispatcherMemory)
    nonce: Callable[[], str] = lambda: uuid4().hex
    """A fresh one for each claim."""
    jitter: Callable[[], float] = random
    """A number from 0 to 1."""
    web: PublicHttps = INTERNET
    """Where callbacks go out."""
    intake: Intake = images.intake
    """Decodes the pictures of jobs before a GPU starts."""
    platforms: frozenset[str] = frozenset()
    """Those that the engine can spawn on, where routes name some."""
    turn: Lock = field(default_factory=Lock)
    """Of the job whose sheet is drawn: one at a time."""

    def __post_init__(self) -> None:
        require_alarm_secret(self.runtime.budgets, self.runtime.settings)

    @property
    def alarm_post(self) -> AlarmPost:
        return AlarmPost(self.store, self.sender, self.runtime, self.web)

    @property
    def end_files(self) -> EndFilesWriter:
        return EndFilesWriter(self.store, self.turn, SHEET_WAIT_S, SHEET_READ_S)

    @property
    def delivery(self) -> ResultDelivery:
        return ResultDelivery(self.store, self.sender, self.runtime.settings, self.jitter, self.web)

    @property
    def input_checker(self) -> InputChecker:
        return InputChecker(self.store, self.runtime, self.intake)

    @property
    def rejector(self) -> Rejector:
        return Rejector(self.store, self.sender, Origin.of(self.runtime))
