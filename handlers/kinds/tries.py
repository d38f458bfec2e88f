"""Seeds tried for one picture with a face, until one will do: in one pass, or in two, where what is
wrong with a composition takes another composition."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from handlers.faces.boxes import Face
from handlers.faces.measurement import FaceTry, again
from handlers.kinds.base import GraphRunner, Rendered, Timings
from handlers.kinds.instantid_input import InstantIdInput
from handlers.kinds.seeds import derive_seed
from workflows.graph import Graph


@dataclass(frozen=True)
class Attempt:
    """One picture that was tried."""

    body: bytes
    graph: Graph
    timings: Timings
    face: FaceTry


def attempts(
    request: InstantIdInput,
    runner: GraphRunner,
    seed: int,
    render_attempt: Callable[[int, int], Attempt],
) -> Sequence[Attempt]:
    """Takes of one picture, until one shows the view that was asked for and passes the gate, or
    tries, time or budget are used up."""
    tries: list[Attempt] = []
    for number in range(request.max_tries):
        tries.append(render_attempt(_try_seed(seed, number), number))
        last = tries[-1].face
        if not again(request.gate, last):
            break
        if not runner.has_time_for(last.seconds):
            break
    return tries


@dataclass(frozen=True)
class Composed:
    """A picture whose face is still to be made."""

    picture: Rendered
    face: Face | None
    """Which is to be made anew; None where none was found."""
    wrong: bool
    """Whether another composition is due."""


@dataclass(frozen=True)
class TwoPassTries:
    compositions: Sequence[Composed]
    faces: Sequence[tuple[Composed, Attempt]]
    """Each with what it was made in. Empty where no composition has a face."""


def two_pass_attempts(
    request: InstantIdInput,
    runner: GraphRunner,
    seed: int,
    compose: Callable[[int, int], Composed],
    make_face: Callable[[Composed, int, int], Attempt],
) -> TwoPassTries:
    """As a character sheet does it: a wrong composition ends its try, so does a face whose view is
    wrong, and the next one composes anew; a face below the gate is tried again in the same
    composition. A face is made in a wrong composition only where tries, time and budget leave no
    other."""
    compositions: list[Composed] = []
    faces: list[tuple[Composed, Attempt]] = []
    composed: Composed | None = None
    for number in range(request.max_tries):
        own = _try_seed(seed, number)
        if composed is None:
            composed = compose(own, number)
            compositions.append(composed)
        if composed.wrong:
            is_last = number + 1 == request.max_tries
            if not is_last and runner.has_time_for(composed.picture.timings.total):
                composed = None
                continue
            if faces:
                break
            composed = next((one for one in compositions if one.face), composed)
        if composed.face is None:
            break
        faces.append((composed, make_face(composed, own, number)))
        made = faces[-1][1].face
        wrong = composed.wrong or (made.view is not None and made.view.wrong)
        needed = made.seconds + (composed.picture.timings.total if wrong else 0.0)
        if not again(request.gate, made) or not runner.has_time_for(needed):
            break
        composed = None if wrong else composed
    return TwoPassTries(compositions, faces)


def _try_seed(seed: int, number: int) -> int:
    """The picture's own first, those derived from it after."""
    return seed if number == 0 else derive_seed(f"{seed}/try", number)
