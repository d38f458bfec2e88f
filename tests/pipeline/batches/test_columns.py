from typing import Any

import pytest

from handlers.character_sheet.input import CharacterSheetInput
from pipeline.batches.character_file import FileRow
from pipeline.batches.columns import column_of, columns, document_of, unknown_columns
from pipeline.batches.problems import Problems
from pipeline.contract.document import canonical
from pipeline.contract.manifest import parse_manifest


def document(**values: Any) -> dict[str, Any]:
    problems = Problems()
    made = document_of(FileRow(2, values), problems)
    assert made is not None, problems.found
    return made


def problem(**values: Any) -> tuple[str, str | None]:
    """Message and hint of the one problem that this row has."""
    problems = Problems()
    assert document_of(FileRow(7, values), problems) is None
    (found,) = problems.found
    assert found.row == 7
    return found.message, found.hint


def test_a_row_of_text_becomes_a_manifest() -> None:
    made = (
        document(
            character=" Ann ",
            description="a woman of 30",
            reference_images="ann.png | inputs/ann.png",
            base="sdxl",
            views="ten",
            min_face_match="0,85",
            attempts_per_view="2",
            seed="0",
            nsfw="no",
            sizes='{"full": {"width": 512, "height": 768}}',
            priority="7",
            max_cost_usd="0.5",
            consent="consented",
            consent_record="file 7",
        )
        | {}
    )
    made["metadata"] = document(**{"metadata.Project": "x"})["metadata"]
    made["input"]["reference_images"] = made["input"]["reference_images"][1:]
    manifest = parse_manifest(canonical(made))

    assert isinstance(manifest.input, CharacterSheetInput)
    assert manifest.input.name == "Ann"
    assert manifest.input.min_face_match == 0.85
    assert manifest.input.sizes.full.height == 768
    assert manifest.priority == 7
    assert manifest.consent is not None
    assert manifest.consent.record == "file 7"
    assert manifest.metadata == {"Project": "x"}


def test_pictures_are_files_of_this_machine_unless_they_are_said_to_be_something_else() -> None:
    cell = "a b.png|inputs/x.png|@c.png|https://pictures.example/d.png||data:image/png;base64,AA=="

    assert document(character="A", reference_images=cell)["input"]["reference_images"] == [
        "@a b.png",
        "inputs/x.png",
        "@c.png",
        "https://pictures.example/d.png",
        "data:image/png;base64,AA==",
    ]


def test_pictures_may_stand_in_several_columns() -> None:
    made = document(**{"reference_image": "a.png", "Reference image 2": "b.png"})

    assert made["input"]["reference_images"] == ["@a.png", "@b.png"]


@pytest.mark.parametrize("word", ["yes", "TRUE", "1", "x"])
def test_yes_has_several_words(word: str) -> None:
    assert document(nsfw=word)["input"]["nsfw"] is True


def test_names_of_views_mean_the_preset_that_has_them() -> None:
    assert document(views="front, back")["input"] == {"views": "ten", "view_ids": ["front", "back"]}
    assert document(views="half-left|back-full")["input"]["views"] == "lora-24"
    assert document(views='[{"id": "front"}]')["input"]["views"] == [{"id": "front"}]
    assert document(views="lora-24", view_ids="back-full")["input"]["view_ids"] == ["back-full"]


def test_values_of_jsonl_pass_as_they_are() -> None:
    made = document(
        character="Ann",
        seed=7,
        views=[{"id": "front"}],
        reference_images=["ann.png"],
        consent={"subject": "synthetic", "record": "made up"},
        metadata={"row": 1},
    )

    assert made["input"]["seed"] == 7
    assert made["input"]["reference_images"] == ["@ann.png"]
    assert made["consent"]["record"] == "made up"
    assert made["metadata"] == {"row": 1}


def test_what_looks_like_a_formula_is_text() -> None:
    assert document(description="=HYPERLINK(1)", character="+Ann")["input"] == {
        "description": "=HYPERLINK(1)",
        "name": "+Ann",
    }


@pytest.mark.parametrize(
    ("values", "said", "hint"),
    [
        ({"seed": "seven"}, "row 7, seed: 'seven' is no whole number", "Such as 3."),
        ({"seed": "1.5"}, "row 7, seed: '1.5' is no whole number", "Such as 3."),
        ({"min_face_match": "high"}, "row 7, min_face_match: 'high' is no number", "Such as 0.85."),
        ({"min_face_match": "nan"}, "row 7, min_face_match: 'nan' is no number", "Such as 0.85."),
        ({"sizes": "{"}, "row 7, sizes: '{' is not JSON", "As in a manifest."),
        (
            {"views": "front|bakc"},
            "row 7, views: 'bakc' is neither a preset nor a view of one",
            "Did you mean 'back'?",
        ),
        (
            {"views": "tenn"},
            "row 7, views: 'tenn' is neither a preset nor a view of one",
            "Did you mean 'ten'?",
        ),
        (
            {"views": "front|half-left"},
            "row 7, views: these are views of two presets",
            "Presets: ten, lora-24.",
        ),
        (
            {"character": "Ann", "name": "Bob"},
            "row 7, name: it means the same as 'character'",
            "Keep one of the two.",
        ),
        (
            {"metadata": 1, "metadata.x": "y"},
            "row 7, metadata.x: metadata is given in two forms",
            "Keep one of the two.",
        ),
    ],
)
def test_a_cell_that_does_not_fit_is_named(values: dict[str, Any], said: str, hint: str) -> None:
    assert problem(**values) == (said, hint)


def test_neither_yes_nor_no_is_named() -> None:
    assert problem(nsfw="perhaps")[0] == "row 7, nsfw: 'perhaps' is neither yes nor no"


def test_an_unknown_column_is_named_once_with_what_was_meant() -> None:
    problems = Problems()
    rows = [FileRow(n, {"charakter": "x", "tenant": "acme", "xyzzy": "1"}) for n in (2, 3)]
    unknown_columns(rows, problems)

    assert [(each.row, each.field) for each in problems.found] == [
        (2, "charakter"),
        (2, "tenant"),
        (2, "xyzzy"),
    ]
    hints = [each.hint or "" for each in problems.found]
    assert hints[0] == "Did you mean 'character'?"
    assert "--tenant" in hints[1]
    assert "reference_images" in hints[2]


def test_every_field_of_a_sheet_has_a_column() -> None:
    fields = {column.path[1] for column in columns().values() if column.path[0] == "input"}

    assert fields == {*CharacterSheetInput.model_fields}
    assert column_of("Min Face-Match") == "min_face_match"
    assert column_of("reference_images_12") == "reference_images"
    assert column_of("reference_images_x") is None
