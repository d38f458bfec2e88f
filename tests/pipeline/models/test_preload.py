import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.models import preload
from pipeline.models.preload import CHUNK, WeightsPreload, memory_to_fill


def files(folder: Path, **sizes: int) -> list[Path]:
    for name, size in sizes.items():
        with (folder / name).open("wb") as file:
            file.truncate(size)
    return [folder / name for name in sizes]


def finish(preload: WeightsPreload) -> None:
    preload.start()
    preload._thread.join(10)
    assert not preload._thread.is_alive()


def ticking() -> Callable[[], float]:
    """A clock on which every reading of a chunk takes a second."""
    times = iter(range(10_000))
    return lambda: float(next(times))


def test_files_are_read_whole_and_measured(tmp_path: Path) -> None:
    paths = files(tmp_path, unet=2 * CHUNK + 5, clip=3)
    preload = WeightsPreload([paths], 1e9, monotonic=ticking())
    finish(preload)
    assert preload.report.bytes == 2 * CHUNK + 8
    assert preload.report.whole == set(paths)
    assert preload.report.seconds == 4.0  # 1 + 3 reads, whoever made them


def test_a_sets_encoders_come_first_and_sets_in_their_order(tmp_path: Path) -> None:
    first, second = files(tmp_path, unet=30, t5=20), files(tmp_path, other=1)
    preload = WeightsPreload([first, [*second, first[0]]], 1e9)
    assert [path.name for path in preload._paths] == ["t5", "unet", "other"]


def test_no_more_is_read_than_fits(tmp_path: Path) -> None:
    paths = files(tmp_path, a=CHUNK, b=3 * CHUNK)
    preload = WeightsPreload([paths], 2 * CHUNK)
    finish(preload)
    assert preload.report.bytes == 2 * CHUNK
    assert preload.report.whole == {paths[0]}


def test_what_is_not_there_or_no_file_is_passed_over(tmp_path: Path) -> None:
    (there,) = files(tmp_path, there=4)
    preload = WeightsPreload([[tmp_path / "gone", tmp_path, there]], 1e9)
    finish(preload)
    assert preload.report.whole == {there}


def test_a_file_that_cannot_be_read_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = files(tmp_path, bad=1, good=2)
    whole = Path.open

    def refuse(path: Path, *args: object, **options: object) -> object:
        if path == bad:
            raise PermissionError(13, "Permission denied")
        return whole(path, *args, **options)  # type: ignore[call-overload]

    preload = WeightsPreload([[bad, good]], 1e9)
    monkeypatch.setattr(Path, "open", refuse)
    finish(preload)
    assert preload.report.whole == {good}


def test_a_file_that_breaks_while_it_is_read_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bad,) = files(tmp_path, bad=9 * CHUNK)

    def refuse(descriptor: int, buffers: object, offset: int) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.preadv", refuse)
    preload = WeightsPreload([[bad]], 1e9)
    finish(preload)
    assert preload.report.whole == frozenset()
    assert preload.report.bytes == 0


@pytest.mark.parametrize("how", ["stop", "only"])
def test_reading_ends_where_it_is_told_to(tmp_path: Path, how: str) -> None:
    one, two = files(tmp_path, one=2 * CHUNK, two=3 * CHUNK)
    reached, goes_on = threading.Event(), threading.Event()

    def clock() -> float:
        reached.set()
        assert goes_on.wait(10)
        return 0.0

    preload = WeightsPreload([[one, two]], 1e9, monotonic=clock)
    preload.start()
    assert reached.wait(10)
    if how == "stop":
        preload._stopped.set()
    else:
        preload.only({two})
    goes_on.set()
    preload.stop() if how == "stop" else preload._thread.join(10)
    assert one not in preload.report.whole
    assert preload.report.whole == (set() if how == "stop" else {two})


def test_stopping_what_never_started_is_fine() -> None:
    WeightsPreload([], 0).stop()


def test_a_share_of_the_routes_memory_or_of_what_is_free_is_filled(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 99 kB\nMemAvailable:   1048576 kB\n")
    gib, share = 2**30, preload.SHARE
    assert memory_to_fill(48, meminfo) == share * gib
    assert memory_to_fill(0.5, meminfo) == share * gib / 2
    assert memory_to_fill(48, tmp_path / "none") == share * 48 * gib
