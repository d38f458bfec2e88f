"""Which step comes next, and that any executions end in the same records."""

from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.character_sheet.combinations import Making
from handlers.character_sheet.records import (
    FACE_BELOW_GATE,
    NO_FACE,
    AnyRecord,
    Choice,
    Composition,
    Picture,
    RecordedScore,
    SheetRecords,
    Try,
    record_name,
)
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.character_sheet.steps import (
    Choose,
    Compose,
    Done,
    MakeFace,
    Step,
    next_step,
    settled,
)
from tests.support.sheets import sheet_plan


def two_pass(views: int = 2, attempts: int = 3) -> SheetPlan:
    return sheet_plan([Making.FACE_PASS] * views, attempts)


PICTURE = Picture(key="k", bytes=1, sha256="s", width=64, height=64, content_type="image/png")
BOX = {"x": 1, "y": 1, "width": 9, "height": 9}
Outcome = Callable[[Compose | MakeFace], tuple[str | None, float]]
"""What comes of a step: its fault, and how alike the face is."""


def well(step: Compose | MakeFace) -> tuple[str | None, float]:
    return None, 0.9


def perform(plan: SheetPlan, step: Compose | MakeFace | Choose, outcome: Outcome) -> AnyRecord:
    if isinstance(step, Choose):
        return step.choice
    id = next(view.id for view in plan.views if view.nn == step.number)
    fault, similar = outcome(step)
    common = {
        "number": step.number,
        "view": id,
        "k": step.k,
        "seed": 1,
        "picture": PICTURE,
        "seconds": 1.0,
        "fault": fault,
    }
    if isinstance(step, Compose):
        return Composition.model_validate({**common, "box": BOX})
    score = RecordedScore(similarity=similar)
    return Try.model_validate({**common, "composition": step.composition, "score": score})


def walk(plan: SheetPlan, outcome: Outcome = well) -> tuple[list[Step], SheetRecords]:
    records, steps = SheetRecords(), list[Step]()
    while not isinstance(step := next_step(plan, records), Done):
        steps.append(step)
        records = records.with_(perform(plan, step, outcome))
    return steps, records


def made(steps: Sequence[Step]) -> list[str]:
    """Without choices, which cost nothing."""
    letters: dict[type, str] = {Compose: "c", MakeFace: "t"}
    return [
        f"{step.number}{letters[type(step)]}{step.k}"
        for step in steps
        if isinstance(step, Compose | MakeFace)
    ]


def faulty(faults: dict[str, str]) -> Outcome:
    def outcome(step: Compose | MakeFace) -> tuple[str | None, float]:
        return faults.get(made([step])[0]), 0.5 + step.k / 100

    return outcome


def test_all_is_composed_before_a_face_is_made() -> None:
    steps, records = walk(two_pass(3))
    assert made(steps) == ["1c1", "2c1", "3c1", "1t1", "2t1", "3t1"]
    assert records.made == (1, 2, 3)


def test_what_has_a_fault_is_made_again_after_all_else_in_the_same_order() -> None:
    faults = {"1c1": NO_FACE, "2t1": FACE_BELOW_GATE, "3c1": "wrong_yaw"}
    steps, _ = walk(two_pass(3), faulty(faults))
    assert made(steps) == ["1c1", "2c1", "3c1", "2t1", "1c2", "3c2", "1t2", "2t2", "3t2"]


def test_a_face_below_the_gate_is_tried_again_in_the_same_composition() -> None:
    steps, records = walk(two_pass(1), faulty({"1t1": FACE_BELOW_GATE}))
    assert made(steps) == ["1c1", "1t1", "1t2"]
    assert records.of_view(1).tries[2].composition == 1


@pytest.mark.parametrize("fault", [NO_FACE, "head_cut", "wrong_yaw"])
def test_a_picture_whose_composition_is_at_fault_is_composed_anew(fault: str) -> None:
    assert made(walk(two_pass(1), faulty({"1c1": fault}))[0]) == ["1c1", "1c2", "1t2"]
    assert made(walk(two_pass(1), faulty({"1t1": fault}))[0]) == ["1c1", "1t1", "1c2", "1t2"]


def test_a_single_pass_has_no_composition() -> None:
    plan = sheet_plan([Making.INSTANTID])
    steps, records = walk(plan, faulty({"1t1": "wrong_yaw"}))
    assert made(steps) == ["1t1", "1t2"]
    assert records.of_view(1).choice == Choice(number=1, view="v1", k=2)


def test_a_view_without_a_face_pass_ends_with_its_composition() -> None:
    plan = sheet_plan([Making.COMPOSED])
    steps, records = walk(plan, faulty({"1c1": "face_shown"}))
    assert made(steps) == ["1c1", "1c2"]
    assert records.of_view(1).choice == Choice(number=1, view="v1", k=2, of="c")


def test_a_view_is_not_made_more_often_than_it_may_be() -> None:
    never = dict.fromkeys(("1c1", "1t2", "1t3"), "wrong_yaw")
    steps, records = walk(two_pass(1), faulty(never))
    assert made(steps) == ["1c1", "1c2", "1t2", "1c3", "1t3"]
    assert records.made == ()
    assert records.of_view(1).choice == Choice(number=1, view="v1", k=3, fault="wrong_yaw")


def test_of_faces_below_the_gate_the_nearest_is_named_and_the_view_is_missing() -> None:
    likeness = {1: 0.3, 2: 0.6, 3: 0.5}

    def outcome(step: Compose | MakeFace) -> tuple[str | None, float]:
        return (FACE_BELOW_GATE if isinstance(step, MakeFace) else None), likeness[step.k]

    _, records = walk(two_pass(1), outcome)
    assert records.of_view(1).choice == Choice(number=1, view="v1", k=2, fault=FACE_BELOW_GATE)
    assert records.made == ()


def an_attempt(k: int, fault: str | None, similar: float | None) -> list[AnyRecord]:
    """A composition and the face in it."""
    common = {"number": 1, "view": "v1", "k": k, "seed": 1, "picture": PICTURE, "seconds": 1.0}
    score = RecordedScore(similarity=similar)
    face = Try.model_validate({**common, "composition": k, "fault": fault, "score": score})
    return [Composition.model_validate({**common, "box": BOX}), face]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("wrong_yaw", 0.9), (FACE_BELOW_GATE, 0.1)),
        ((NO_FACE, None), ("wrong_yaw", None)),
        ((FACE_BELOW_GATE, None), (FACE_BELOW_GATE, -0.5)),
    ],
)
def test_the_best_is_what_lacks_least_and_then_what_is_most_alike(
    first: tuple[str, float | None], second: tuple[str, float | None]
) -> None:
    records = SheetRecords.of([*an_attempt(1, *first), *an_attempt(2, *second)])
    chosen = Choice(number=1, view="v1", k=2, fault=second[0])
    assert next_step(two_pass(1, attempts=2), records) == Choose(chosen)


def test_of_equals_the_first_is_kept() -> None:
    twice = [*an_attempt(1, "wrong_yaw", 0.5), *an_attempt(2, "wrong_yaw", 0.5)]
    chosen = Choice(number=1, view="v1", k=1, fault="wrong_yaw")
    assert next_step(two_pass(1, attempts=2), SheetRecords.of(twice)) == Choose(chosen)


def test_what_only_lacks_its_choice_is_settled_and_nothing_else() -> None:
    good = an_attempt(1, None, 0.9)
    begun = Composition.model_validate({**good[0].model_dump(), "number": 2, "view": "v2"})
    plan = two_pass(3)
    done = settled(plan, SheetRecords.of([*good, begun]))
    assert done.of_view(1).choice == Choice(number=1, view="v1", k=1)
    assert done.of_view(2).choice is None
    assert done.of_view(3).choice is None


def test_a_composition_whose_face_was_never_made_is_not_chosen() -> None:
    records = SheetRecords()
    plan = two_pass(1, attempts=1)
    step = next_step(plan, records)
    assert isinstance(step, Compose)
    records = records.with_(perform(plan, step, well))
    assert next_step(plan, records) == MakeFace(1, 1, 1)


def test_a_profile_in_which_no_face_was_found_is_whole_as_it_was_composed() -> None:
    plan = two_pass(1)
    composed = Composition(
        number=1, view="v1", k=1, seed=1, picture=PICTURE, seconds=1.0, reason="unmeasured"
    )
    chosen = Choose(Choice(number=1, view="v1", k=1, of="c"))
    assert next_step(plan, SheetRecords.of([composed])) == chosen


FAULTS = (NO_FACE, FACE_BELOW_GATE, "wrong_yaw", "head_cut")
PLANS = st.builds(
    sheet_plan, st.lists(st.sampled_from(Making), min_size=1, max_size=4), st.integers(1, 3)
)


@given(plan=PLANS, seed=st.integers(0, 2**32))
def test_executions_killed_at_any_moment_and_ones_that_were_given_up_end_in_the_same_records(
    plan: SheetPlan, seed: int
) -> None:
    """Several executions share a store in which each key is created once. Any may die with its
    picture made, or go on although another has the job; whoever meets a record adopts it."""
    outcomes = Random(seed)
    table: dict[str, tuple[str | None, float]] = {}

    def outcome(step: Compose | MakeFace) -> tuple[str | None, float]:
        drawn = (outcomes.choice([None, None, *FAULTS]), outcomes.random())
        return table.setdefault(made([step])[0], drawn)

    alone = walk(plan, outcome)[1]
    chance, stored, writes = Random(seed + 1), dict[str, AnyRecord](), list[str]()
    executions = [SheetRecords()]
    for _ in range(10_000):
        at = chance.randrange(len(executions))
        step = next_step(plan, executions[at])
        if isinstance(step, Done):
            break
        record = perform(plan, step, outcome)
        died = chance.random() < 0.2
        if not (died and chance.random() < 0.5):
            name = record_name(record)
            if name not in stored:
                stored[name] = record
                writes.append(name)
            executions[at] = executions[at].with_(stored[name])
        if died:
            executions[at] = SheetRecords.of(stored.values())
        if chance.random() < 0.1:
            executions.append(SheetRecords.of(stored.values()))
    assert SheetRecords.of(stored.values()) == alone
    assert len(writes) == len({*writes})
