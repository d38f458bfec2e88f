import pytest
from pydantic import ValidationError

from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.kind import CharacterSheet
from handlers.character_sheet.reuse import JOB_ID, Reuse
from pipeline.contract.keys import ID_PATTERN

PERSON = {"name": "Ann", "reference_images": ("inputs/ann.png",)}
TWO = ("front", "side-left")


def request(views: tuple[str, ...], of: tuple[str, ...] | None = None) -> CharacterSheetInput:
    return CharacterSheetInput.model_validate(
        {**PERSON, "view_ids": of, "reuse": Reuse(job="ann", views=views)}
    )


def test_a_job_is_named_as_the_contract_names_it() -> None:
    assert JOB_ID == ID_PATTERN


def test_only_views_that_are_not_reused_are_estimated() -> None:
    whole = CharacterSheet().work(CharacterSheetInput.model_validate(PERSON))
    assert whole.then is not None
    some = CharacterSheet().work(request(("front", "side-left", "back")))
    counted, work = 0, some
    while True:
        counted += work.images
        if work.then is None:
            break
        work = work.then
    assert counted == 7
    assert [view.id for view in request(TWO, ("back", *TWO)).new_views] == ["back"]


@pytest.mark.parametrize(
    ("views", "of", "said"),
    [
        (("profile",), None, "none of the views"),
        (("back",), TWO, "none of the views"),
        (TWO, TWO, "leave one to be made"),
        (("front", "front"), None, "named twice"),
        ((), None, "at least 1"),
    ],
)
def test_what_cannot_be_reused_is_refused(
    views: tuple[str, ...], of: tuple[str, ...] | None, said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        request(views, of)


@pytest.mark.parametrize("job", ["", "../ann", "Ann", "a" * 97, "ann\n"])
def test_what_is_no_job_is_refused(job: str) -> None:
    with pytest.raises(ValidationError):
        Reuse(job=job, views=("front",))
