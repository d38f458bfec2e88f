"""What `modal deploy` of the real file makes of other accounts and other tables."""

from pathlib import Path

import pytest

from config.settings import Settings
from pipeline.modal_app.container_files import APP_FILE
from tests.support.deployed_app import ROOT, secrets
from tests.support.modal_plane import ModalPlane

BUCKET = Settings.model_validate(
    {"bucket": "jobs", "access_key_id": "id", "secret_access_key": "secret"}
)
OWN_ROUTES = """
[routes.ZImage]
gpus = ["H100"]
snapshot = "cpu"
"""


def account() -> ModalPlane:
    return ModalPlane(secrets(BUCKET, "https://posthog.invalid"))


def test_a_missing_secret_fails_it_by_name_and_nothing_is_published() -> None:
    with account() as plane:
        del plane.secrets["ryla-api-keys"]
        answer = plane.cli("deploy", APP_FILE, cwd=ROOT)
        assert answer.returncode != 0
        assert "Secret 'ryla-api-keys' not found" in answer.stdout + answer.stderr
        assert not plane.has_app("ryla")


@pytest.mark.thorough
def test_registered_an_operators_own_table_acts_and_travels_along(tmp_path: Path) -> None:
    table = tmp_path / "mine.toml"
    table.write_text(OWN_ROUTES)
    with account() as plane:
        own = {"RYLA_ROUTES_FILE": str(table)}
        answer = plane.cli("deploy", APP_FILE, cwd=ROOT, environ=own)
        assert answer.returncode == 0, answer.stderr
        functions = plane.app("ryla").functions
    changed, other = functions["ZImage"], functions["Flux"]
    assert (changed.gpus, changed.snapshot, changed.gpu_snapshot) == (("H100",), True, False)
    assert not other.snapshot
    for each in functions.values():
        assert "/opt/ryla/tables/routes.toml" in each.files
        assert "ENV RYLA_ROUTES_FILE=/opt/ryla/tables/routes.toml" in each.image
