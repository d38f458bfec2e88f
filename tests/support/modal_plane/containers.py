"""Calls that come from inside a container: it takes inputs and hands outputs back."""

# ruff: noqa: N802  the protocol's names

from tests.support.modal_plane.state import Container, Input, State
from tests.support.modal_plane.wire import Empty, Part, Stream, pb

HEARTBEAT_S = 10.0
"""How long a heartbeat waits for something to tell."""


class FromContainer(Part):
    def __init__(self, state: State, container: Container, idle_s: float) -> None:
        self._state = state
        self._container = container
        self._id = container.id
        self._idle_s = idle_s

    async def ContainerHello(self, request: Empty) -> Empty:
        return Empty()

    async def ContainerHeartbeat(
        self, request: pb.ContainerHeartbeatRequest
    ) -> pb.ContainerHeartbeatResponse:
        container = self._container
        await self._state.changed.until(lambda: container.cancelled, HEARTBEAT_S)
        cancelled, container.cancelled = container.cancelled, []
        if not cancelled:
            return pb.ContainerHeartbeatResponse()
        event = pb.CancelInputEvent(input_ids=cancelled)
        return pb.ContainerHeartbeatResponse(cancel_input_event=event)

    async def ContainerStop(self, request: pb.ContainerStopRequest) -> pb.ContainerStopResponse:
        self._container.lost = True
        self._state.changed.fire()
        return pb.ContainerStopResponse()

    async def TaskResult(self, request: pb.TaskResultRequest) -> Empty:
        """It broke at import or in @enter: what it should have run fails."""
        waiting = self._state.waiting[self._container.function.id]
        held = [delivery.input for delivery in self._container.held.values()]
        for input in [*held, *waiting]:
            self._state.finish(input, request.result)
        waiting.clear()
        return Empty()

    async def FunctionGetDynamicConcurrency(
        self, request: pb.FunctionGetDynamicConcurrencyRequest
    ) -> pb.FunctionGetDynamicConcurrencyResponse:
        return pb.FunctionGetDynamicConcurrencyResponse(concurrency=request.target_concurrency)

    async def FunctionGetInputs(
        self, request: pb.FunctionGetInputsRequest
    ) -> pb.FunctionGetInputsResponse:
        def over() -> bool:
            return self._container.lost or self._state.stopping

        await self._state.changed.until(lambda: over() or self._next(), self._idle_s)
        input = None if over() else self._next()
        if input is not None:
            item = self._state.handed_out(input, self._container)
            return pb.FunctionGetInputsResponse(inputs=[item])
        if over() or not self._container.held:
            end = pb.FunctionGetInputsItem(kill_switch=True)
            return pb.FunctionGetInputsResponse(inputs=[end])
        return pb.FunctionGetInputsResponse()

    async def FunctionPutOutputs(self, request: pb.FunctionPutOutputsRequest) -> Empty:
        for output in request.outputs:
            delivery = self._container.held.pop(output.input_id, None)
            if delivery is not None:
                delivery.output = output
                self._state.finish(delivery.input, output.result, output.data_format)
        return Empty()

    async def FunctionCallPutDataOut(self, request: pb.FunctionCallPutDataRequest) -> Empty:
        call = self._state.calls[request.function_call_id]
        call.data_out.extend(request.data_chunks)
        self._state.changed.fire()
        return Empty()

    async def FunctionCallGetDataIn(self, stream: Stream) -> None:
        request = await stream.recv_message()
        assert request is not None
        call = self._state.calls[request.function_call_id]
        while True:
            await stream.send_message(await call.data_in.get())

    def _next(self) -> Input | None:
        mine = [each.input for each in self._state.deliveries if each.container == self._id]
        waiting = self._state.waiting[self._container.function.id]
        return next((input for input in waiting if not (input.apart and input in mine)), None)
