import os
from pathlib import Path

import pytest

from config.settings import Settings
from pipeline.loras.cache import LocalFolder
from pipeline.loras.eviction import LoraEviction
from tests.support.volumes import Mount

DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 30 * DAY

    def __call__(self) -> float:
        return self.now


def keep(folder: Path, name: str, *, used: float, size: int = 100) -> Path:
    """A file that was last used then."""
    file = folder / "files" / f"{name}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    os.truncate(file, size)
    os.utime(file, (used, used))
    return file


def names(folder: Path) -> list[str]:
    return sorted(file.stem for file in (folder / "files").iterdir())


def test_the_longest_unused_go_until_the_rest_fits(tmp_path: Path) -> None:
    clock = Clock()
    for number in range(4):
        keep(tmp_path, f"{number}", used=number * DAY)

    LoraEviction(LocalFolder(tmp_path), 250, clock=clock).tidy()

    assert names(tmp_path) == ["2", "3"]


def test_it_looks_again_only_after_a_while(tmp_path: Path) -> None:
    clock = Clock()
    keeper = LoraEviction(LocalFolder(tmp_path), 50, every_s=600, clock=clock)
    keeper.tidy()
    keep(tmp_path, "late", used=0)

    clock.now += 599
    keeper.tidy()
    assert names(tmp_path) == ["late"]

    clock.now += 1
    keeper.tidy()
    assert names(tmp_path) == []


def test_a_volume_that_is_busy_is_left_for_the_next_time(tmp_path: Path) -> None:
    clock = Clock()
    origin, folder = tmp_path / "origin", tmp_path / "mount"
    keep(origin, "old", used=0)
    mount = Mount(origin, folder, file_open=True)
    keeper = LoraEviction(mount, 50, clock=clock)

    keeper.tidy()
    assert names(origin) == ["old"]

    mount.file_open = False
    clock.now += DAY
    keeper.tidy()
    assert names(origin) == []


def test_a_folder_that_cannot_be_read_stops_nobody(tmp_path: Path) -> None:
    keep(tmp_path, "one", used=0).unlink()
    (tmp_path / "files" / "dangling.safetensors").symlink_to(tmp_path / "gone")

    LoraEviction(LocalFolder(tmp_path), 50, clock=Clock()).tidy()

    assert (tmp_path / "files" / "dangling.safetensors").is_symlink()


@pytest.mark.parametrize(("gib", "kept"), [(0.1, ["new"]), (1.0, ["new", "old"])])
def test_the_limit_is_a_setting(tmp_path: Path, gib: float, kept: list[str]) -> None:
    for name, used in (("old", 0), ("new", DAY)):
        keep(tmp_path / "loras", name, used=used, size=80 * 2**20)

    LoraEviction.of(Settings(state_dir=tmp_path, lora_cache_gib=gib)).tidy()

    assert names(tmp_path / "loras") == kept
