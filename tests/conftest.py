from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import structlog

from config.settings import Settings
from handlers.faces import analysis
from handlers.faces.analysis import FaceAnalyser
from pipeline.local.seaweed import SeaweedServer
from tests.support.micro_faces import make_pack
from tests.support.seaweed import fresh_bucket


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """Unconfigured, structlog takes seconds to draw a traceback."""
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
    make_pack(root / analysis.SCORING_PACK)
    return root


@pytest.fixture(scope="session")
def analyser(packs: Path) -> FaceAnalyser:
    return analysis.load(packs)


@pytest.fixture
def bucket(seaweed: SeaweedServer, tmp_path: Path) -> Settings:
    """Settings of a fresh bucket in it."""
    return fresh_bucket(seaweed, tmp_path)
