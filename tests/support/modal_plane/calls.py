"""Calls as whoever makes them sees them: spawn, wait, cancel."""

# ruff: noqa: N802  the protocol's names

from tests.support.modal_plane.fleet import Fleet
from tests.support.modal_plane.state import Call, Input, State
from tests.support.modal_plane.wire import Empty, Part, not_found, pb, terminated


class Calls(Part):
    def __init__(self, state: State, fleet: Fleet) -> None:
        self._state = state
        self._fleet = fleet

    async def FunctionMap(self, request: pb.FunctionMapRequest) -> pb.FunctionMapResponse:
        call = self._state.new_call(self._state.functions[request.function_id])
        inputs = [self._fleet.put(call, item) for item in request.pipelined_inputs]
        return pb.FunctionMapResponse(
            function_call_id=call.id,
            function_call_jwt=call.id,
            max_inputs_outstanding=1000,
            pipelined_inputs=[_accepted(input) for input in inputs],
        )

    async def FunctionPutInputs(
        self, request: pb.FunctionPutInputsRequest
    ) -> pb.FunctionPutInputsResponse:
        call = self._call(request.function_call_id)
        inputs = [self._fleet.put(call, item) for item in request.inputs]
        return pb.FunctionPutInputsResponse(inputs=[_accepted(input) for input in inputs])

    async def FunctionCallFromId(
        self, request: pb.FunctionCallFromIdRequest
    ) -> pb.FunctionCallFromIdResponse:
        call = self._call(request.function_call_id)
        return pb.FunctionCallFromIdResponse(function_call_id=call.id, num_inputs=len(call.inputs))

    async def FunctionGetOutputs(
        self, request: pb.FunctionGetOutputsRequest
    ) -> pb.FunctionGetOutputsResponse:
        call = self._call(request.function_call_id)
        seen = int(request.last_entry_id.partition("-")[0] or "0")

        def ready() -> list[pb.FunctionGetOutputsItem]:
            if request.HasField("start_idx"):
                wanted = range(request.start_idx, request.end_idx + 1)
                return [call.outputs[index] for index in wanted if index in call.outputs]
            return list(call.outputs.values())[seen:]

        await self._state.changed.until(ready, request.timeout)
        outputs = ready()
        return pb.FunctionGetOutputsResponse(
            outputs=outputs,
            last_entry_id=f"{seen + len(outputs)}-0",
            num_unfinished_inputs=len(call.inputs) - len(call.outputs),
        )

    async def FunctionCallCancel(self, request: pb.FunctionCallCancelRequest) -> Empty:
        """What waits is dropped; a container that runs it hears of it with its heartbeat."""
        call = self._call(request.function_call_id)
        for input in call.inputs:
            waiting = self._state.waiting[call.function.id]
            if input in waiting:
                waiting.remove(input)
            for container in self._state.containers.values():
                if input.id in container.held:
                    container.cancelled.append(input.id)
            self._state.finish(input, terminated())
        return Empty()

    def _call(self, id: str) -> Call:
        if id not in self._state.calls:
            raise not_found(f"no function call {id}")
        return self._state.calls[id]


def _accepted(input: Input) -> pb.FunctionPutInputsResponseItem:
    return pb.FunctionPutInputsResponseItem(
        idx=input.item.idx, input_id=input.id, input_jwt=input.id
    )
