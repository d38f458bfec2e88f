from pathlib import Path
from typing import Any

import pytest

from handlers.faces import arcface_finder
from handlers.faces.dlib_finder import is_installed
from handlers.faces.insightface_finder import FaceAnalyser
from tests.support.micro_faces import make_embedder

pytestmark = pytest.mark.xdist_group("faces")


def spins(session: Any) -> bool:
    options = session.get_session_options()
    return bool(options.get_session_config_entry("session.intra_op.allow_spinning") != "0")


def test_no_thread_of_insightfaces_networks_spins(analyser: FaceAnalyser) -> None:
    sessions = [each.session for each in analyser._analysis.models.values()]

    assert len(sessions) == 2
    assert not any(spins(session) for session in sessions)


@pytest.mark.skipif(not is_installed(), reason="needs the embedded face model")
def test_no_thread_of_auraface_spins(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "auraface-mtcnn").mkdir()
    make_embedder(tmp_path / "auraface-mtcnn" / "glintr100.onnx")

    assert not spins(arcface_finder.load(tmp_path)._session)
