from pathlib import Path

from pipeline.accepting.journal import FILE, first_health
from tests.pipeline.accepting.conftest import Reach
from tests.support.yard import Yard


def test_a_later_start_of_the_run_keeps_the_first_answer(
    yard: Yard, reach: Reach, tmp_path: Path
) -> None:
    web = reach(yard)
    first = first_health(web, tmp_path / "out", idle=True)

    assert first.idle
    assert first_health(web, tmp_path / "out", idle=True) == first


def test_who_asked_before_nobody_can_tell_from_a_file_of_another_url(
    yard: Yard, reach: Reach, tmp_path: Path
) -> None:
    web = reach(yard)
    for told in ("no JSON", first_health(web, tmp_path, idle=True).model_dump_json()):
        (tmp_path / FILE).write_text(told.replace("127.0.0.1", "other"))
        assert not first_health(web, tmp_path, idle=True).idle
