"""Seeds tried for one picture with a face, until one will do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from handlers.faces.measurement import FaceTry, again
from handlers.kinds.base import GraphRunner, Timings
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
        tries.append(
            render_attempt(seed if number == 0 else derive_seed(f"{seed}/try", number), number)
        )
        last = tries[-1].face
        if not again(request.gate, last):
            break
        if not runner.has_time_for(last.seconds):
            break
    return tries
