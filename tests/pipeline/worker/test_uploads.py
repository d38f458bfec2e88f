import threading

import pytest

from pipeline.worker.uploads import Uploads
from tests.support.stack import wait_until


class StoreFullError(Exception):
    pass


def upload_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("upload")]


def test_all_have_ended_in_order_when_it_is_left() -> None:
    done: list[int] = []
    with Uploads() as uploads:
        for number in range(5):
            uploads.put(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == [0, 1, 2, 3, 4]
    assert upload_threads() == []


def test_one_runs_and_one_waits_and_a_third_is_waited_for() -> None:
    may_end, third, second, taken = (threading.Event() for _ in range(4))

    def wait() -> None:
        assert may_end.wait(10)

    def put_three() -> None:
        with Uploads() as uploads:
            uploads.put(wait)
            uploads.put(wait)
            second.set()
            uploads.put(third.set)
            taken.set()

    maker = threading.Thread(target=put_three)
    maker.start()
    assert second.wait(10)
    assert not taken.wait(0.05)
    may_end.set()
    maker.join(10)
    assert taken.is_set()
    assert third.is_set()


def fail() -> None:
    raise StoreFullError


def test_an_error_surfaces_when_the_next_one_is_put_here() -> None:
    begun: list[int] = []

    def make() -> None:
        with Uploads() as uploads:
            uploads.put(fail)
            assert wait_until(uploads._open[0].done)
            uploads.put(lambda: begun.append(1))

    with pytest.raises(StoreFullError):
        make()
    assert begun == []
    assert upload_threads() == []


def test_an_error_of_the_last_one_surfaces_at_the_end() -> None:
    with pytest.raises(StoreFullError), Uploads() as uploads:
        uploads.put(fail)


def test_what_ends_the_job_is_told_and_not_what_became_of_its_uploads() -> None:
    done: list[int] = []

    def make() -> None:
        with Uploads() as uploads:
            uploads.put(lambda: done.append(0))
            uploads.put(fail)
            raise KeyError("the second prompt failed")

    with pytest.raises(KeyError):
        make()
    assert done == [0]
    assert upload_threads() == []
