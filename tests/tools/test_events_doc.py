from events.catalogue import STEMS
from events.moments import TABLE
from tools.events_doc import PATH, render


def test_the_committed_page_is_what_the_catalogue_says() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run: python -m tools.events_doc"


def test_the_page_names_every_event_of_every_kind() -> None:
    page = render()
    for event in TABLE.values():
        for kind in STEMS:
            assert f"`{event.name_for(kind)}`" in page
