"""The recipe names what the catalogue has: a renamed property would empty a dashboard unseen."""

import re
from fnmatch import fnmatch
from pathlib import Path

from pydantic import BaseModel

from config import errors
from events.catalogue import STEMS, Common, RequestProperties
from events.moments import TABLE
from handlers.faces.match import Reason

PAGE = (Path(__file__).parents[2] / "docs" / "posthog.md").read_text("utf-8")
EVENTS = set(TABLE.values())
NAMES = {event.pattern.format(stem=stem) for event in EVENTS for stem in (*STEMS.values(), "x")}
MODELS: tuple[type[BaseModel], ...] = (Common, RequestProperties, *EVENTS)
PROPERTIES = {name for model in MODELS for name in model.model_fields if name != "asked"}
CODES = {
    each.code
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.RylaError)
}


def test_every_event_is_in_the_catalogue() -> None:
    named = set(re.findall(r"modal_[a-z_%]+", PAGE))

    assert len(named) >= 8
    for name in named:
        assert any(fnmatch(each, name.replace("%", "*")) for each in NAMES), name


def test_every_property_is_in_the_catalogue() -> None:
    named = set(re.findall(r"properties\.([a-z_]+)", PAGE))

    assert len(named) >= 12
    assert named <= PROPERTIES


def test_every_code_and_reason_exists() -> None:
    assert set(re.findall(r"error_code = '([a-z_]+)'", PAGE)) <= CODES
    assert set(re.findall(r"reason = '([a-z_]+)'", PAGE)) <= set(Reason)


def test_no_insight_counts_what_no_model_made() -> None:
    queries = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)

    assert len(queries) == 8
    assert all("properties.engine != 'standin'" in query for query in queries)
