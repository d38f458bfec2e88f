import pytest

from config.errors import DatasetError
from pipeline.datasets.captions import Subject
from pipeline.datasets.wish import PLAIN, Wish


def test_a_trigger_word_is_the_callers_else_the_sheets_else_one_that_models_do_not_know() -> None:
    assert Wish("zzz", "man").subject("ann") == Subject("zzz", "man")
    assert PLAIN.subject("ann, woman") == Subject("ann woman", "person")
    assert PLAIN.subject(" ,\n") == Subject("ohwx", "person")


@pytest.mark.parametrize("text", ["", "a,b", "a\nb", "[trigger]", " a", "a" * 65])
@pytest.mark.parametrize("field", ["trigger", "class"])
def test_what_can_begin_no_caption_is_refused_by_name(field: str, text: str) -> None:
    with pytest.raises(DatasetError) as error:
        Wish(text) if field == "trigger" else Wish(None, text)
    assert error.value.field == field
