import json
from typing import Any

import pytest

from handlers.comfyui import frames
from handlers.comfyui.prompt_tracker import PromptTracker
from tests.support.recordings import NAMES, Recording, recording

GRAPH = {
    node: {"class_type": node_class, "inputs": {}}
    for node, node_class in {
        "1": "UNETLoader",
        "4": "CLIPTextEncode",
        "5": "FluxGuidance",
        "9": "KSampler",
        "10": "VAEDecode",
        "save": "SaveImage",
    }.items()
}


def tracked(session: Recording) -> tuple[PromptTracker, list[float]]:
    tracker, fractions = PromptTracker(session.graph, session.prompt_id), []
    for at, message in session.frames:
        tracker.take(frames.parse(message), at)
        fractions.append(tracker.fraction)
    return tracker, fractions


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_session_gives_its_whole_time_to_its_parts(name: str) -> None:
    session = recording(name)
    tracker, fractions = tracked(session)
    started = next(at for at, message in session.frames if "execution_start" in str(message))
    timings = tracker.timings(until=999.0)
    total = timings.load + timings.encode + timings.sampling + timings.decode + timings.other
    assert tracker.ended
    assert total == pytest.approx(session.frames[-1][0] - started)
    assert fractions == sorted(fractions)
    assert 0.0 <= fractions[-1] <= 1.0


def test_the_cold_flux_session_splits_as_it_was_recorded() -> None:
    timings = tracked(recording("flux_cold"))[0].timings(until=999.0)
    assert timings.load > 0.15  # the text encoders took 0.155 s
    assert timings.sampling > 0
    assert timings.decode > 0


def test_cached_nodes_do_not_hold_progress_back() -> None:
    session = recording("flux_new_seed")
    fractions = tracked(session)[1]
    assert fractions[-1] > 0.95


def frame(kind: str, **data: Any) -> frames.Frame:
    return frames.parse(json.dumps({"type": kind, "data": data}))


def test_progress_moves_within_a_node_and_never_back() -> None:
    tracker, seen = PromptTracker(GRAPH, "p"), []
    events = [
        frame("executing", node="9", prompt_id="p"),
        frame("progress", node="9", prompt_id="p", value=1, max=2),
        frame("progress", node="9", prompt_id="p", value=2, max=2),
        frame("progress", node="9", prompt_id="p", value=1, max=9),
        frame("progress", node="9", prompt_id="p", value=1, max=0),
        frame("executing", node="10", prompt_id="p"),
    ]
    for event in events:
        tracker.take(event, 0.0)
        seen.append((round(tracker.fraction, 3), tracker.node_class))
    assert seen == [
        (0.0, "KSampler"),
        (0.349, "KSampler"),
        (0.698, "KSampler"),
        (0.698, "KSampler"),
        (0.698, "KSampler"),
        (0.698, "VAEDecode"),
    ]


def test_frames_of_another_prompt_change_nothing() -> None:
    tracker = PromptTracker({}, "mine")
    assert not tracker.take(frame("executing", node=None, prompt_id="other"), 1.0)
    assert not tracker.take(frame("execution_start", prompt_id="other"), 1.0)
    assert not tracker.ended
    assert not tracker.started


def test_an_idle_greeting_is_not_the_end() -> None:
    tracker = PromptTracker({}, "mine")
    tracker.take(frame("executing", node=None), 1.0)
    assert not tracker.ended


def test_the_first_step_of_each_sampler_is_timed() -> None:
    tracker = PromptTracker(GRAPH, "p")
    tracker.take(frame("executing", node="1", prompt_id="p"), 0.0)
    tracker.take(frame("progress", node="1", prompt_id="p", value=1, max=4), 0.5)
    tracker.take(frame("executing", node="9", prompt_id="p"), 1.0)
    for step, at in enumerate((5.0, 6.0, 6.0, 7.0), start=1):
        value = min(step, 2) if step < 4 else 3  # the second is told twice
        tracker.take(frame("progress", node="9", prompt_id="p", value=value, max=3), at)
    tracker.take(frame("executing", node="10", prompt_id="p"), 7.0)
    tracker.take(frame("progress", node="10", prompt_id="p", value=1, max=1), 7.5)
    timings = tracker.timings(until=8.0)
    assert (timings.sampling, timings.first_step) == (6.0, 3.0)


def sampling(*steps: float, of: int = 20) -> PromptTracker:
    """A sampler that began at 0 and ended steps at these moments."""
    tracker = PromptTracker({"9": {"class_type": "KSampler"}}, "p")
    tracker.take(frame("executing", node="9", prompt_id="p"), 0.0)
    for number, at in enumerate(steps, 1):
        tracker.take(frame("progress", node="9", prompt_id="p", value=number, max=of), at)
    return tracker


def test_a_sampler_that_stands_still_is_told_by_its_own_pace() -> None:
    """The first step does not count: weights are moved, and kernels compiled, in it."""
    assert sampling(90.0, 91.0, 92.0, 93.0).stalled_s(100.0) == (7.0, 1.0)


def test_without_a_pace_or_a_step_to_come_nothing_stands_still() -> None:
    assert sampling(90.0, 91.0, 92.0).stalled_s(500.0) is None
    assert sampling(1.0, 2.0, 3.0, 4.0, of=4).stalled_s(500.0) is None
    decoding = sampling(1.0, 2.0, 3.0, 4.0)
    decoding.take(frame("executing", node="10", prompt_id="p"), 5.0)
    assert decoding.stalled_s(500.0) is None
