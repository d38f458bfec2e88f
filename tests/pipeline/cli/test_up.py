from config.settings import Settings
from pipeline.cli.up import IDLE_SECONDS, quick_to_look


def test_a_job_is_picked_up_at_once_unless_slower_polls_are_asked_for() -> None:
    assert quick_to_look(Settings()).poll_idle_seconds == IDLE_SECONDS
    assert quick_to_look(Settings(poll_idle_seconds=15)).poll_idle_seconds == 15
    assert quick_to_look(Settings(poll_active_seconds=3)).poll_idle_seconds == 3
