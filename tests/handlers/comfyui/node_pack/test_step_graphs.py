from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.step_graphs import (  # noqa: E402
    RECORDING,
    RecordedControl,
    StepGraphs,
    diffusion,
)

pytestmark = pytest.mark.nodes


class Recorder:
    """Plays a function again on the inputs that it was recorded with, as a graph of the card does:
    into the same place."""

    def __init__(self) -> None:
        self.recorded = self.played = 0

    def __call__(self, run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        self.recorded += 1
        out = run()

        def play() -> None:
            self.played += 1
            for place, value in zip(out["y"], run()["y"], strict=True):
                place.copy_(value)

        return play, out


class Work:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Any, control: Any = None, options: Any = None) -> Any:
        self.calls += 1
        added = control["output"].pop() if control else 0  # ComfyUI uses them up
        return {"y": [x * 2 + added]}


def step(graphs: StepGraphs, work: Work, value: float, **given: Any) -> float:
    out = graphs.call("work", work, {"x": torch.full((2,), value), **given})
    return float(out["y"][0][0])


def test_the_first_step_is_made_the_second_recorded_and_the_others_played() -> None:
    recorder, work = Recorder(), Work()
    graphs = StepGraphs(recorder)

    with graphs.of_one_picture():
        results = [step(graphs, work, value) for value in (1.0, 2.0, 3.0, 4.0)]

    assert results == [2.0, 4.0, 6.0, 8.0]
    assert (recorder.recorded, recorder.played) == (1, 3)


def test_what_is_given_is_whole_each_time_though_the_work_uses_it_up() -> None:
    graphs, work = StepGraphs(Recorder()), Work()

    with graphs.of_one_picture():
        results = [
            step(graphs, work, 1.0, control={"output": [torch.full((2,), float(at))]})
            for at in range(4)
        ]

    assert results == [2.0, 3.0, 4.0, 5.0]


def test_a_result_stays_when_the_next_step_is_played() -> None:
    graphs, work = StepGraphs(Recorder()), Work()

    with graphs.of_one_picture():
        outs = [
            graphs.call("work", work, {"x": torch.full((2,), value)}) for value in (1.0, 2.0, 3.0)
        ]

    assert [float(out["y"][0][0]) for out in outs] == [2.0, 4.0, 6.0]


def test_the_next_picture_is_recorded_anew_from_its_first_step_on() -> None:
    recorder, work = Recorder(), Work()
    graphs = StepGraphs(recorder)

    for _ in range(2):
        with graphs.of_one_picture():
            results = [step(graphs, work, value) for value in (1.0, 2.0, 3.0)]

    assert results == [2.0, 4.0, 6.0]
    assert (recorder.recorded, recorder.played) == (2, 2 + 3)


def test_other_shapes_and_other_options_are_other_work() -> None:
    recorder, work = Recorder(), Work()
    graphs = StepGraphs(recorder)

    with graphs.of_one_picture():
        for size in (2, 3, 2, 3):
            graphs.call("work", work, {"x": torch.ones(size)})
        for name in ("other", "other"):
            graphs.call(name, work, {"x": torch.ones(2)})

    assert recorder.recorded == 3


def test_outside_a_picture_nothing_is_recorded() -> None:
    recorder = Recorder()
    graphs = StepGraphs(recorder)

    assert [step(graphs, Work(), value) for value in (1.0, 2.0, 3.0)] == [2.0, 4.0, 6.0]
    assert recorder.recorded == 0


def test_what_cannot_be_recorded_is_made_as_ever_and_not_tried_again() -> None:
    tries = []

    def refuses(run: Callable[[], Any]) -> Any:
        tries.append(run)
        raise RuntimeError("operation not permitted when stream is capturing")

    graphs, work = StepGraphs(refuses), Work()

    for _ in range(2):
        with graphs.of_one_picture():
            assert [step(graphs, work, value) for value in (1.0, 2.0, 3.0)] == [2.0, 4.0, 6.0]

    assert len(tries) == 1
    assert not RECORDING.locked()


def test_while_blocks_are_compiled_nothing_is_recorded() -> None:
    recorder = Recorder()
    graphs, work = StepGraphs(recorder), Work()

    with graphs.of_one_picture():
        with RECORDING:
            step(graphs, work, 1.0)
            step(graphs, work, 2.0)
        assert recorder.recorded == 0
        step(graphs, work, 3.0)

    assert recorder.recorded == 1


def test_a_picture_that_was_interrupted_leaves_no_graph() -> None:
    class Interrupted(Exception):
        pass

    recorder, work = Recorder(), Work()
    graphs = StepGraphs(recorder)

    def picture() -> None:
        with graphs.of_one_picture():
            step(graphs, work, 1.0)
            step(graphs, work, 2.0)
            raise Interrupted

    with pytest.raises(Interrupted):
        picture()

    assert step(graphs, work, 5.0) == 10.0
    assert not graphs._recorded


def test_a_unet_is_called_as_comfyui_calls_it() -> None:
    seen: list[Any] = []

    def executor(*arguments: Any, **options: Any) -> Any:
        seen.append((arguments, options))
        return arguments[0]

    x, control = torch.ones(1), {"output": [torch.ones(2), None]}
    options = {"cond_or_uncond": [1, 0]}
    diffusion(executor, x, torch.ones(1), torch.ones(3), None, control, options, extra=1)

    ((arguments, more),) = seen
    assert arguments[0] is x
    assert arguments[3] is None
    assert arguments[4] is control
    assert arguments[5] is options
    assert more == {"extra": 1}


def test_a_controlnet_has_its_models_type_and_result() -> None:
    class Net:
        dtype = torch.float16

        def __call__(self, x: Any, hint: Any) -> Any:
            return {"output": [x + hint], "middle": []}

    control = RecordedControl(Net())

    assert control.dtype is torch.float16
    out = control(x=torch.ones(1), hint=torch.ones(1))
    assert float(out["output"][0]) == 2.0
