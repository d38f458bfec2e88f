import gc
import os
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest
import structlog
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

from config.settings import Settings
from handlers.faces import dlib_finder, insightface_finder
from handlers.faces.dlib_finder import DlibFinder
from handlers.faces.insightface_finder import FaceAnalyser
from handlers.faces.match import SCORING_PACK
from pipeline.local.seaweed import SeaweedServer
from tests.support.micro_faces import make_pack
from tests.support.seaweed import fresh_bucket

# Dozens of processes that tests start import the project; compiling it each time would take most of
# their time, so bytecode is kept even where the environment says otherwise.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that starts the tests in the background has them ignore SIGINT, and so would every process
# that they interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine may take any time for an example.
hypothesis.settings.register_profile("any time", deadline=None)
hypothesis.settings.load_profile("any time")

LONG = 200
"""Characters of a value that is no name for a test any more."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """What is long is called by its argument: each worker sends the names of all tests."""
    return argname if isinstance(val, str | bytes) and len(val) > LONG else None


LONGEST = (
    "deployed",
    "tests/benchmarks/test_chaos.py",
    "clients",
    "demo",
    "tests/pipeline/queue/test_exhaustive.py",
    "docs",
    "modal-engine",
    "faults",
    "api-process",
    "sigkill",
    "tests/pipeline/api/test_schemathesis.py",
    "tests/pipeline/local/test_stack.py",
    "faces",
    "tests/pipeline/queue/test_crash_matrix.py",
    "tests/pipeline/engines/test_local.py",
)
"""Groups and files that are begun first, so that none of them is left for the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}

    def turn(item: pytest.Item) -> int:
        group = item.get_closest_marker("xdist_group")
        file = item.nodeid.partition("::")[0]
        return place.get(group.args[0] if group else file, len(place))

    items.sort(key=turn)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Little of what it makes is garbage, and looking for it took a tenth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """What the collection left stays to the end: no garbage collection need walk it again. Only
    where many tests are to come: `make mutants` asks the collector for what was loaded."""
    if hasattr(session.config, "workerinput"):
        gc.collect()
        gc.freeze()


class ByFile(LoadGroupScheduling):
    """The tests of a file go to one worker, as those of a group do: what they share is made once,
    and there is far less to hand out."""

    def _split_scope(self, nodeid: str) -> str:
        return super()._split_scope(nodeid).partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """Unconfigured, structlog takes seconds to draw a traceback. A former test may have set it up
    to print less, or elsewhere."""
    structlog.reset_defaults()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(),
        ]
    )


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """One real store for each test process; nobody kills this one."""
    server = SeaweedServer(tmp_path_factory.mktemp("seaweed"))
    server.start()
    try:
        yield server
    finally:
        server.kill()  # quicker than a stop, and its folder goes too


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds one face pack, under the name of the one used for scoring."""
    if find_spec("insightface") is None:
        pytest.skip("insightface is not installed: install the extra `faces`")
    root = tmp_path_factory.mktemp("packs")
    make_pack(root / SCORING_PACK)
    return root


@pytest.fixture(scope="session")
def analyser(packs: Path) -> FaceAnalyser:
    return insightface_finder.load(packs)


@pytest.fixture(scope="session")
def embedded() -> DlibFinder:
    """The embedded face model."""
    return dlib_finder.load()


@pytest.fixture
def bucket(seaweed: SeaweedServer, tmp_path: Path) -> Settings:
    """Settings of a fresh bucket in it."""
    return fresh_bucket(seaweed, tmp_path)
