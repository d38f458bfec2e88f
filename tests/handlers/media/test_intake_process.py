import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import cache

import pytest
from PIL import Image

from config.errors import InvalidInput
from handlers.media.intake_process import IntakeProcess, Patience, PictureAbandoned, Task
from handlers.media.submitted import MAX_INTAKE_BYTES, intake
from handlers.media.thumbnails import thumbnail
from tests.support.pictures import encoded, plain_webp

SMALL = encoded(Image.new("RGB", (64, 48), "red"))


@cache
def heavy() -> bytes:
    return plain_webp(4400, 4400)


@pytest.fixture
def process() -> Iterator[IntakeProcess]:
    with closing(IntakeProcess()) as made:
        yield made


def test_the_child_answers_as_the_function_does_and_stays(process: IntakeProcess) -> None:
    assert process.intake(SMALL) == intake(SMALL)
    child = process._child.pid
    assert process.intake(SMALL) == intake(SMALL)
    assert process._child.pid == child


def test_a_child_of_another_task_makes_thumbnails() -> None:
    with closing(IntakeProcess(task=Task.THUMBNAIL)) as process:
        assert process.intake(SMALL) == thumbnail(SMALL)


def test_a_refusal_comes_with_its_hint(process: IntakeProcess) -> None:
    with pytest.raises(InvalidInput, match="no known format") as caught:
        process.intake(b"hello")
    assert caught.value.hint == "PNG, JPEG, WebP, HEIC and AVIF are read."


def test_too_many_bytes_are_not_even_sent_to_it(process: IntakeProcess) -> None:
    with pytest.raises(InvalidInput, match="more than"):
        process.intake(bytes(MAX_INTAKE_BYTES + 1))
    assert process._child.pid is None


def test_one_that_takes_too_long_is_ended_and_the_next_picture_gets_another() -> None:
    with closing(IntakeProcess(wall_s=0.2)) as process:
        with pytest.raises(InvalidInput, match="takes more than"):
            process.intake(heavy())
        process.wall_s = 30.0
        assert process.intake(SMALL)[0] == "png"


def test_one_that_dies_is_told_as_the_pictures_fault(process: IntakeProcess) -> None:
    process.intake(SMALL)
    threading.Timer(0.1, process._child.end).start()

    with pytest.raises(InvalidInput, match="takes more than"):
        process.intake(heavy())


def test_who_gives_up_ends_the_decoding_at_once(process: IntakeProcess) -> None:
    process.intake(SMALL)
    patience = Patience()
    threading.Timer(0.1, patience.give_up).start()
    begun = time.process_time()

    with pytest.raises(PictureAbandoned):
        process.intake(heavy(), patience)
    with pytest.raises(PictureAbandoned):
        process.intake(SMALL, patience)

    assert time.process_time() - begun < 0.5
    assert process.intake(SMALL)[0] == "png"


def test_the_child_knows_nothing_of_this_processs_environment(
    process: IntakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RYLA_SECRET_ACCESS_KEY", "hush")
    process.intake(SMALL)

    with open(f"/proc/{process._child.pid}/environ", "rb") as file:
        assert b"RYLA" not in file.read()


def test_its_memory_is_given_back_after_a_large_picture(process: IntakeProcess) -> None:
    process.intake(SMALL)
    process.intake(encoded(Image.new("RGB", (4000, 4000))))

    assert process._child.pid is None or process._child.resident_bytes < 100 * 2**20
