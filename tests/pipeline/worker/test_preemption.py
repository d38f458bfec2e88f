import os
import signal
from threading import Thread

import pytest

from pipeline.worker.preemption import noticed


@pytest.fixture(autouse=True)
def pythons_own_handler() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def interrupted() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_signal_is_noticed_and_interrupts_nothing() -> None:
    heard: list[int] = []

    def notice() -> bool:
        heard.append(1)
        return False

    with noticed(notice):
        interrupted()
        after = True
    assert after
    assert heard == [1]


def test_a_second_signal_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), noticed(lambda: True):
        interrupted()


def test_afterwards_the_signal_is_pythons_again() -> None:
    with noticed(lambda: False):
        pass
    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_who_ignores_the_signal_goes_on_ignoring_it() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noticed(lambda: pytest.fail("it was to be ignored")):
            interrupted()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_in_another_thread_nothing_is_installed() -> None:
    before: list[object] = []

    def run() -> None:
        with noticed(lambda: False):
            before.append(signal.getsignal(signal.SIGINT))

    thread = Thread(target=run)
    thread.start()
    thread.join()
    assert before == [signal.default_int_handler]
