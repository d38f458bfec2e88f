from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pipeline.loras.cache import VolumeBusy
from pipeline.modal_app.model_functions import evict_loras
from pipeline.modal_app.mounted import MountedVolume


class Outage(Exception):
    """As the platform's own errors: of no class that the pipeline knows."""


@dataclass
class Handle:
    """The platform's own object: which calls it got, and whether a file is open."""

    calls: list[str]
    file_open: bool = False
    away: bool = False

    def reload(self) -> None:
        self.calls.append("reload")
        if self.file_open:
            raise RuntimeError("there are open files preventing the operation")
        self._reach()

    def commit(self) -> None:
        self.calls.append("commit")
        self._reach()

    def _reach(self) -> None:
        if self.away:
            raise Outage("the server is not to be reached")


def test_an_open_file_keeps_a_volume_from_being_reloaded(tmp_path: Path) -> None:
    handle = Handle([], file_open=True)
    with pytest.raises(VolumeBusy, match="open files"):
        MountedVolume(tmp_path, handle).reload()


def test_a_platform_that_is_away_keeps_no_job_from_its_lora(tmp_path: Path) -> None:
    volume = MountedVolume(tmp_path, Handle([], away=True))
    with pytest.raises(VolumeBusy, match="Outage"):
        volume.reload()
    with capture_logs() as logs:
        volume.commit()
    assert [line["event"] for line in logs] == ["volume_not_committed"]


def test_the_longest_unused_loras_go_and_that_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RYLA_LORA_DIR", str(tmp_path))
    monkeypatch.setenv("RYLA_LORA_CACHE_GIB", "0.1")
    for name, used in (("old", 1), ("new", 2)):
        for folder in ("files", "used"):
            (tmp_path / folder).mkdir(exist_ok=True)
        with (tmp_path / "files" / f"{name}.safetensors").open("wb") as file:
            file.truncate(60 * 2**20)
        (tmp_path / "used" / name).write_text(str(used))
    handle = Handle([])
    assert evict_loras(handle) == 1
    assert [path.stem for path in (tmp_path / "files").iterdir()] == ["new"]
    assert handle.calls == ["reload", "commit"]


def test_a_volume_that_holds_nothing_is_tidy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RYLA_LORA_DIR", str(tmp_path))
    assert evict_loras(Handle([])) == 0
