"""Walks every interleaving of the queue's own procedures over one job.

A state is the bucket as far as it concerns the job (two inbox keys, lease, manifest, result, and
the records of a sheet), where
each actor stands in its procedure, and what may still go wrong. One transition is one store call of
one actor, done at once and whole, or a fault (scenario.py).

Any lease may be judged expired at any moment, and acting on a listing is a step of its own. That
covers every skew of clocks and every pause of a process.

Of interleavings that cannot differ one is walked: where an actor's next call touches no object, or
one that nobody changes any more (a manifest or a result that is there, an inbox entry that is gone
and will not be put again), and whatever comes of it shows in nothing that the others or the
invariants look at, only that actor moves, or dies. The rest may do later what they might have done
before, and end in the same states. No procedure goes round in such steps alone, so nobody is put
off for ever.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.exploration.actors import Actors
from tests.support.exploration.numbers import (
    DELIVER,
    DROP_ENTRY,
    DROP_LEASE,
    FILE,
    FLOAT,
    LISTING,
    NO_OBJECT,
    NOTHING,
    SPAWN,
    START,
    TAKE,
    WIN,
    Numbering,
    Outcome,
)
from tests.support.exploration.scenario import (
    ACTORS,
    BUDGET,
    CALLED,
    CANCELLER,
    CELLS,
    CRASH,
    DELIVERED,
    FILED,
    INBOX,
    INBOX_2,
    LATE,
    LEASE,
    LIFT,
    MANIFEST,
    MARKS,
    MAX_WORKERS,
    OVERFLOWED,
    REFS,
    RERUN,
    RESULT,
    SPAWNED,
    STARTED,
    STOP,
    STOPPED,
    SUBMIT,
    SWAPPED,
    TAKEN_OVER,
    WITHDRAW,
    WITHDRAWN,
    WON,
    WORKERS,
    Scenario,
    State,
    one,
)

INBOXES = {INBOX, INBOX_2}
UNNOTICED = {
    (NO_OBJECT, NOTHING),
    (NO_OBJECT, DELIVER),
    (MANIFEST, NOTHING),
    (RESULT, NOTHING),
    *((cell, NOTHING) for cell in range(CELLS, ACTORS)),
    *((inbox, effect) for inbox in INBOXES for effect in (NOTHING, DROP_ENTRY)),
}
"""What an outcome touches and its effect, where nobody else notices, once the object stays as it
is: a manifest or a result that is there, an inbox entry that is gone and not put again."""


class Violation(AssertionError):
    """An invariant does not hold; the message tells the way there."""


@dataclass
class Found:
    """What the search counted."""

    states: int = 0
    transitions: int = 0
    quiescent: int = 0
    """States in which nobody is on the way with anything."""
    marks: int = 0
    """All marks seen, so that a test can tell that something did happen."""


@dataclass
class Explorer:
    scenario: Scenario
    every: bool = False
    """Walk the interleavings that cannot differ as well."""
    _actors: Actors = field(init=False)
    _numbers: Numbering = field(init=False)
    _outcomes: dict[tuple[int, ...], "_Outcomes"] = field(default_factory=dict)
    _claims: dict[str, int] = field(default_factory=dict)
    _recovered: dict[State, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._actors = Actors(self.scenario)
        self._numbers = self._actors.numbers

    def run(self) -> Found:
        """Visit every state. Raises Violation."""
        state = self._initial()
        came_from: dict[State, State | None] = {state: None}
        stack = [state]
        found = Found()
        try:
            while stack:
                state = stack.pop()
                found.marks |= state[MARKS]
                if self._is_quiescent(state):
                    found.quiescent += 1
                    self._require_recovery(state)
                for new in self._successors(state):
                    found.transitions += 1
                    known = len(came_from)
                    came_from.setdefault(new, state)  # looked up once: hashing takes long
                    if len(came_from) > known:
                        stack.append(new)
                        self._check(new)
        except _Broken as broken:
            raise Violation(self._story(broken, came_from, state)) from None
        found.states = len(came_from)
        return found

    def _initial(self) -> State:
        scenario = self.scenario
        state = [0] * (REFS + MAX_WORKERS)
        state[INBOX] = self._numbers.body(scenario.body)
        state[LEASE] = self._numbers.body(b"{}") if scenario.stranger else 0
        state[BUDGET] = scenario.budget()
        for actor, ticks in enumerate(scenario.ticks, start=ACTORS):
            state[actor] = self._actors.dispatcher(actor, ticks) if ticks else 0
        state[CANCELLER] = self._actors.canceller() if scenario.cancel else 0
        return tuple(state)

    # ── transitions ───────────────────────────────────────────────────────────────────────────

    def _successors(self, state: State) -> Iterator[State]:
        acting = []
        for actor in range(ACTORS, REFS):
            if state[actor]:
                outcomes, unnoticed = self._possible(state, state[actor])
                if unnoticed and not self.every:
                    yield from self._by(actor, outcomes, state)
                    return
                acting.append((actor, outcomes))
        for actor, outcomes in acting:
            yield from self._by(actor, outcomes, state)
        yield from self._from_outside(state)

    def _by(self, actor: int, outcomes: tuple[Outcome, ...], state: State) -> Iterator[State]:
        """What this actor may do next, and its death."""
        budget, local = state[BUDGET], state[actor]
        touches = self._numbers.touches[local]
        for outcome in outcomes:
            fault = outcome.fault
            if fault >= 0 and not (budget >> 3 * fault) & 7:
                continue
            new = list(state)
            if fault >= 0:
                new[BUDGET] = budget - (1 << 3 * fault)
            if touches >= 0:
                new[touches] = outcome.value
            new[actor] = outcome.then
            if outcome.effect:
                self._apply(outcome, state, new, actor)
            yield tuple(new)
        if (budget >> 3 * CRASH) & 7 and local not in self._numbers.idle:
            new = list(state)
            new[BUDGET] = budget - one(CRASH)
            new[actor] = 0
            yield tuple(new)

    def _possible(self, state: State, local: int) -> "_Outcomes":
        """The next call's outcomes; remembered, because few of them differ."""
        touches = self._numbers.touches[local]
        if touches == LISTING:
            listed = (state[STOPPED], state[LEASE], state[INBOX], state[INBOX_2])
            key: tuple[int, ...] = (local, *listed)
        else:
            key = (local, state[touches] if touches >= 0 else 0)
        stays = self._stays(state, touches)
        known = self._outcomes.get((stays, *key))
        if known is None:
            compute = self._actors.begin if touches == LISTING else self._actors.outcomes
            outcomes = tuple(each for each in compute(*key) if self._ever(each.fault))
            unnoticed = stays and all((touches, each.effect) in UNNOTICED for each in outcomes)
            known = self._outcomes[stays, *key] = (outcomes, unnoticed)
        return known

    def _stays(self, state: State, touches: int) -> bool:
        """Whether nobody changes any more what this call touches."""
        if touches in INBOXES:
            return not state[touches] and not (state[BUDGET] >> 3 * SUBMIT) & 7
        return touches == NO_OBJECT or (touches != LISTING and bool(state[touches]))

    def _ever(self, fault: int) -> bool:
        """Whether it may go wrong in this way in this scenario at all."""
        return fault < 0 or bool((self.scenario.budget() >> 3 * fault) & 7)

    def _from_outside(self, state: State) -> Iterator[State]:
        """What producers, the platform and the network do."""
        budget = state[BUDGET]
        for place in range(self.scenario.keys):
            if not state[place] and (budget >> 3 * SUBMIT) & 7:
                for body in self.scenario.resubmitted:
                    yield self._with(state, SUBMIT, {place: self._numbers.body(body)})
            if state[place] and (budget >> 3 * WITHDRAW) & 7:
                yield self._with(state, WITHDRAW, {place: 0, MARKS: state[MARKS] | WITHDRAWN})
        operator = LIFT if state[STOPPED] else STOP
        if (budget >> 3 * operator) & 7:
            yield self._with(state, operator, {STOPPED: int(not state[STOPPED])})
        if (budget >> 3 * RERUN) & 7:
            last = REFS - 1
            forget = dict.fromkeys(range(REFS, REFS + MAX_WORKERS), 0)
            for payload in {payload for payload in state[REFS:] if payload}:
                again = {last: self._actors.worker(last, payload), MARKS: state[MARKS] | TAKEN_OVER}
                yield self._with(state, RERUN, {**again, **forget})
        if state[LATE]:
            place, needed, value = self._numbers.late[state[LATE]]
            applied = {place: value} if needed in (-1, state[place]) else {}
            yield self._with(state, None, {**applied, LATE: 0})

    def _with(self, state: State, fault: int | None, changes: dict[int, int]) -> State:
        new = list(state)
        if fault is not None:
            new[BUDGET] -= one(fault)
        for place, value in changes.items():
            new[place] = value
        return tuple(new)

    def _apply(self, outcome: Outcome, state: State, new: list[int], actor: int) -> None:
        effect, argument = outcome.effect, outcome.argument
        if effect == SPAWN:
            self._spawn(argument, state, new, actor)
        elif effect == DROP_ENTRY:
            self._drop_entry(argument, state, new, actor)
        elif effect == DROP_LEASE:
            _require(bool(state[RESULT]), "a lease was deleted before the result stood")
        elif effect == START:
            number = 1 << argument
            _require(not state[STARTED] & number, "two executions with one attempt number")
            new[STARTED] |= number
        elif effect == FLOAT:
            new[LATE] = argument
            if self._numbers.late[argument][0] == LEASE:
                new[MARKS] |= TAKEN_OVER
        else:
            _require(effect != WIN or not state[MARKS] & WON, "two winners")
            if effect == TAKE and argument:
                # A claim of a job that has ended begins anew, and finds the result.
                once = bool(state[RESULT]) or not state[MARKS] & OVERFLOWED
                _require(once, "it overflowed twice")
                new[MARKS] |= OVERFLOWED
            new[MARKS] |= {TAKE: TAKEN_OVER, WIN: WON, DELIVER: argument, FILE: FILED}[effect]

    def _spawn(self, ref_id: int, state: State, new: list[int], actor: int) -> None:
        payload = self._numbers.payloads[ref_id]
        assert payload is not None
        local = self._numbers.locals[state[actor]]
        _require(local is not None and not local.stopped, "spawned by a tick that saw the stop")
        claim = 1 << self._claims.setdefault(payload.claim, len(self._claims))
        _require(not state[SPAWNED] & claim, "one claim spawned twice")
        count = state[SPAWNED].bit_count()
        if count >= self.scenario.spawns:
            new[actor] = 0
            return
        if not state[MARKS] & TAKEN_OVER:
            _require(count == 0, "two spawns without a take-over")
            ended = state[RESULT] and not self._numbers.is_cancelled(state[RESULT])
            _require(not ended, "spawned after the result, without a take-over")
        new[SPAWNED] |= claim
        new[WORKERS + count] = self._actors.worker(WORKERS + count, ref_id)
        if (state[BUDGET] >> 3 * RERUN) & 7:
            new[REFS + count] = ref_id

    def _drop_entry(self, compared: int, state: State, new: list[int], actor: int) -> None:
        _require(
            compared == state[MANIFEST] or bool(state[MARKS] & FILED),
            "an inbox entry was deleted whose bytes are neither adopted nor filed",
        )
        if state[self._numbers.touches[state[actor]]] not in (0, compared):
            # Another body, put under the key after this dispatcher had compared the former one.
            _require(not self.scenario.conditional_delete, "a conflicting body went unfiled")
            new[MARKS] |= SWAPPED

    # ── invariants ────────────────────────────────────────────────────────────────────────────

    def _check(self, state: State) -> None:
        result, manifest = state[RESULT], state[MANIFEST]
        if result:
            _require(bool(manifest), "a result without a manifest", state)
            named = self._numbers.cells_of(result)
            stand = state[CELLS : CELLS + len(named)]
            as_named = all(not cell or cell == now for cell, now in zip(named, stand, strict=True))
            _require(as_named, "the result names a step that does not stand so", state)
        elif not (state[INBOX] or state[INBOX_2] or (state[LEASE] and manifest)):
            withdrawn = not manifest and bool(state[MARKS] & WITHDRAWN)
            _require(withdrawn, "the job is lost: no entry, no result, no lease", state)

    def _is_quiescent(self, state: State) -> bool:
        return self._numbers.idle.issuperset(state[ACTORS:REFS])

    def _require_recovery(self, state: State) -> None:
        """All others are gone: a fresh dispatcher and its workers must finish."""
        start = [0] * len(state)
        start[: RESULT + 1] = state[: RESULT + 1]
        start[CELLS:ACTORS] = state[CELLS:ACTORS]
        start[MARKS] = (state[MARKS] & (DELIVERED | CALLED | WITHDRAWN | OVERFLOWED)) | TAKEN_OVER
        start[STOPPED] = state[STOPPED]
        core = tuple(start)
        if core not in self._recovered:
            self._recovered[core] = self._wrong_at(self._recover(self._held(core)))
        _require(not self._recovered[core], self._recovered[core])

    def _held(self, state: State) -> State:
        """While a stop stands a dispatcher may tidy up, and starts nothing. Then it is lifted."""
        if state[STOPPED]:
            state = self._recover(state)
            _require(not state[SPAWNED], "spawned although it is stopped", state)
            self._check(state)
        return self._with(state, None, {STOPPED: 0})

    def _recover(self, state: State) -> State:
        # More ticks than any job needs; each under a nonce of its own.
        for ticks in range(40, 20, -1):
            fresh = {ACTORS: self._actors.dispatcher(ACTORS, ticks), SPAWNED: 0, STARTED: 0}
            following = next(self._successors(self._with(state, None, fresh)), None)
            if following is None:
                break
            state = following
            while not self._is_quiescent(state):
                state = self._first_of_last(state)
        return state

    def _first_of_last(self, state: State) -> State:
        """The next step of the actor that came last, and no fault."""
        actor = max(
            place for place in range(ACTORS, REFS) if state[place] not in self._numbers.idle
        )
        others = {place: 0 for place in range(ACTORS, REFS) if place != actor}
        alone = next(self._successors(self._with(state, None, others)))
        back = {place: state[place] for place in others if state[place]}
        return self._with(alone, None, back)

    def _wrong_at(self, state: State) -> str:
        """What is wrong with a state that should be the end of everything."""
        lease = self._numbers.lease(state[LEASE])
        vacant = lease is not None and lease.vacant and not state[MANIFEST]
        if (state[LEASE] and not vacant) or state[INBOX] or state[INBOX_2]:
            return "recovery does not clean up"
        if state[MANIFEST] and not state[RESULT]:
            return "recovery does not finish"
        if not state[MANIFEST] and not state[MARKS] & WITHDRAWN:
            return "recovery finds nothing"
        if state[RESULT] and not state[MARKS] & DELIVERED:
            return "nobody delivers the events"
        if self._numbers.calls_back(state[RESULT]) and not state[MARKS] & CALLED:
            return "nobody makes the callback"
        return ""

    # ── the way to a violation ────────────────────────────────────────────────────────────────

    def _story(self, broken: "_Broken", came_from: dict[State, State | None], state: State) -> str:
        lines = []
        step: State | None = broken.state or state
        while step is not None:
            lines.append(self._line(step))
            step = came_from.get(step)
        return "\n".join([str(broken), *reversed(lines)])

    def _line(self, state: State) -> str:
        lease = self._numbers.lease(state[LEASE])
        held = f"{lease.nonce}/{lease.phase}/a{lease.attempt}" if lease else state[LEASE]
        actors = " ".join(str(self._numbers.locals[local] or "·") for local in state[ACTORS:REFS])
        return (
            f"inbox={state[INBOX]}{state[INBOX_2]} lease={held} manifest={state[MANIFEST]}"
            f" result={state[RESULT]} marks={state[MARKS]:b} | {actors}"
        )


_Outcomes = tuple[tuple[Outcome, ...], bool]
"""And whether nobody else can notice them."""


class _Broken(Exception):
    def __init__(self, message: str, state: State | None) -> None:
        super().__init__(message)
        self.state = state


def _require(holds: bool, message: str, state: State | None = None) -> None:
    if not holds:
        raise _Broken(message, state)
