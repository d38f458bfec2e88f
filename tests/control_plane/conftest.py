from collections.abc import Iterator

import pytest

from pipeline.local.seaweed import SeaweedServer
from tests.support.deployed_app import Deployed, deployed
from tests.support.seaweed import fresh_bucket


@pytest.fixture(scope="session")
def ryla(seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The app, deployed once: modules that use it are of one xdist group."""
    folder = tmp_path_factory.mktemp("deployed")
    with deployed(fresh_bucket(seaweed, folder), folder) as ryla:
        yield ryla
