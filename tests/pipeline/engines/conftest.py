from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.settings import Settings
from pipeline.contract.lease import Phase
from pipeline.engines.modal import ModalEngine
from pipeline.queue.spawn import SpawnPayload, make_payload
from tests.support.jobs import a_lease
from tests.support.modal_plane import ModalPlane
from tests.support.modal_plane.sign_in import signed_in

HERE = Path(__file__).parent
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def payload(id: str, gpu: str | None = None) -> SpawnPayload:
    lease = a_lease(
        id=id, entry=f"inbox/{id}.json", phase=Phase.SPAWNED, submitted_at=NOON, gpu=gpu
    )
    return make_payload(lease, '"etag"', "flux-dev", b'{"version": 1}', NOON)


@dataclass(frozen=True)
class Account:
    """A Modal account that this process is signed in to, with the app `routes`."""

    plane: ModalPlane
    diary: Path
    engine: ModalEngine


@pytest.fixture(scope="package")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    diary = tmp_path_factory.mktemp("diary")
    with ModalPlane({"routes": {"DIARY": str(diary)}}) as plane, signed_in(plane):
        deployed = plane.cli("deploy", "routes_app.py", cwd=HERE)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        yield Account(plane, diary, ModalEngine(Settings(modal_app="routes")))
