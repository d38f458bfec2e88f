"""The protocol: which calls a part answers, and how values travel. Untyped imports stay here."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpclib.server
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from grpclib import GRPCError, Status
from grpclib.const import Cardinality, Handler
from modal._serialization import deserialize_data_format, serialize, serialize_data_format
from modal_proto import api_pb2 as pb
from modal_proto.api_grpc import ModalClientBase

__all__ = [
    "ASGI",
    "PICKLE",
    "SUCCESS",
    "Empty",
    "Part",
    "Stream",
    "decoded",
    "encoded_asgi",
    "input_of",
    "not_found",
    "pb",
    "refused",
    "terminated",
]

PICKLE, ASGI = pb.DATA_FORMAT_PICKLE, pb.DATA_FORMAT_ASGI
SUCCESS = pb.GenericResult.GENERIC_STATUS_SUCCESS

Stream = grpclib.server.Stream[Any, Any]


class _AnyMethod:
    def __getattr__(self, name: str) -> str:
        return name


_SERVICE: Mapping[str, Handler] = ModalClientBase.__mapping__(_AnyMethod())  # type: ignore[arg-type]
"""Path of each call -> its method's name, and the types of request and reply."""


class Part:
    """Answers the calls that it has a method for; the others are `UNIMPLEMENTED`.

    A method takes the request and returns the reply; where the reply is a stream, it takes the
    stream.
    """

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path: handler._replace(func=self._serving(handler))
            for path, handler in _SERVICE.items()
            if hasattr(self, handler.func)
        }

    def _serving(self, handler: Handler) -> Callable[[Stream], Awaitable[None]]:
        method: Callable[[Any], Awaitable[Any]] = getattr(self, handler.func)
        if handler.cardinality is not Cardinality.UNARY_UNARY:
            return method

        async def answer(stream: Stream) -> None:
            await stream.send_message(await method(await stream.recv_message()))

        return answer


def not_found(what: str) -> GRPCError:
    return GRPCError(Status.NOT_FOUND, what)


def refused(why: str) -> GRPCError:
    return GRPCError(Status.FAILED_PRECONDITION, why)


def input_of(*args: Any, method: str = "") -> pb.FunctionPutInputsItem:
    """One call's arguments."""
    packed = pb.FunctionInput(args=serialize((args, {})), data_format=PICKLE, method_name=method)
    return pb.FunctionPutInputsItem(idx=0, input=packed)


def decoded(data: bytes, data_format: "pb.DataFormat.ValueType") -> Any:
    return deserialize_data_format(data, data_format, None)


def encoded_asgi(message: Mapping[str, Any]) -> bytes:
    return serialize_data_format(dict(message), ASGI)


def terminated() -> pb.GenericResult:
    """The result of a call that was cancelled."""
    return pb.GenericResult(status=pb.GenericResult.GENERIC_STATUS_TERMINATED)
