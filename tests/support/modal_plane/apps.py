"""Session, apps and their deployments."""

# ruff: noqa: N802  the protocol's names

import time

from tests.support.modal_plane.state import App, Function, State
from tests.support.modal_plane.wire import Empty, Part, Stream, pb

BUILDER = "2025.06"
"""Image builder version of the workspace."""
_PAGE = "http://modal.invalid/apps/"


class Apps(Part):
    def __init__(self, state: State) -> None:
        self._state = state

    async def ClientHello(self, request: Empty) -> pb.ClientHelloResponse:
        return pb.ClientHelloResponse()

    async def EnvironmentGetOrCreate(
        self, request: pb.EnvironmentGetOrCreateRequest
    ) -> pb.EnvironmentGetOrCreateResponse:
        settings = pb.EnvironmentSettings(image_builder_version=BUILDER)
        return pb.EnvironmentGetOrCreateResponse(
            environment_id="en-1", metadata=pb.EnvironmentMetadata(name="main", settings=settings)
        )

    async def AppGetByDeploymentName(
        self, request: pb.AppGetByDeploymentNameRequest
    ) -> pb.AppGetByDeploymentNameResponse:
        app = self._state.deployed(request.name)
        return pb.AppGetByDeploymentNameResponse(app_id=app.id if app else "")

    async def AppCreate(self, request: pb.AppCreateRequest) -> pb.AppCreateResponse:
        app = App(self._state.new_id("ap"), tags=dict(request.tags))
        self._state.apps[app.id] = app
        return pb.AppCreateResponse(app_id=app.id, app_page_url=_PAGE + app.id)

    async def AppGetLayout(self, request: pb.AppGetLayoutRequest) -> pb.AppGetLayoutResponse:
        app = self._state.apps[request.app_id]
        return pb.AppGetLayoutResponse(app_layout=layout(self._state, app))

    async def AppPublish(self, request: pb.AppPublishRequest) -> pb.AppPublishResponse:
        app = self._state.apps[request.app_id]
        if request.app_state == pb.APP_STATE_DEPLOYED:
            app.name = request.name
        app.objects = {**request.function_ids, **request.class_ids}
        app.tags = dict(request.tags) or app.tags
        return pb.AppPublishResponse(url=_PAGE + app.id, deployed_at=time.time())

    async def AppHeartbeat(self, request: pb.AppHeartbeatRequest) -> Empty:
        return Empty()

    async def AppClientDisconnect(self, request: pb.AppClientDisconnectRequest) -> Empty:
        """What `modal run` made goes with it."""
        app = self._state.apps[request.app_id]
        if not app.name:
            for id in app.objects.values():
                self._state.functions.pop(id, None)
        return Empty()

    async def AppGetLogs(self, stream: Stream) -> None:
        """None: each container keeps its own."""
        await stream.recv_message()
        await stream.send_message(pb.TaskLogsBatch(app_done=True))

    async def AppSetTags(self, request: pb.AppSetTagsRequest) -> Empty:
        self._state.apps[request.app_id].tags = dict(request.tags)
        return Empty()


def layout(state: State, app: App) -> pb.AppLayout:
    """What a container must know to find the app's other objects."""
    functions = {tag: id for tag, id in app.objects.items() if id.startswith("fu-")}
    classes = {tag: id for tag, id in app.objects.items() if id.startswith("cs-")}
    ids = {*functions.values(), *classes.values()}
    for id in functions.values():
        definition = state.functions[id].definition
        ids |= {needed.object_id for needed in definition.object_dependencies}
    return pb.AppLayout(
        function_ids=functions,
        class_ids=classes,
        objects=[_described(state, id) for id in sorted(ids)],
    )


def _described(state: State, id: str) -> pb.Object:
    if id in state.functions:
        metadata = handle(state.functions[id])
        return pb.Object(object_id=id, function_handle_metadata=metadata)
    if id in state.volumes:
        version = pb.VolumeMetadata(version=state.volumes[id].version)  # type: ignore[arg-type]
        return pb.Object(object_id=id, volume_metadata=version)
    if id in state.mounts:
        return pb.Object(object_id=id, mount_handle_metadata=pb.MountHandleMetadata())
    if id.startswith("cs-"):
        return pb.Object(object_id=id, class_handle_metadata=pb.ClassHandleMetadata())
    return pb.Object(object_id=id)


def handle(function: Function) -> pb.FunctionHandleMetadata:
    """What a client must know to call it."""
    data = function.data
    methods = {
        name: pb.FunctionHandleMetadata(
            function_name=method.function_name,
            function_type=method.function_type,
            function_schema=method.function_schema,
            web_url=method.web_url,
            supported_input_formats=method.supported_input_formats,
            supported_output_formats=method.supported_output_formats,
            app_id=function.app.id,
            is_method=True,
            use_method_name=name,
        )
        for name, method in data.method_definitions.items()
    }
    return pb.FunctionHandleMetadata(
        function_name=data.function_name,
        function_type=data.function_type,
        function_schema=data.function_schema,
        web_url=data.web_url,
        is_method=data.is_method,
        class_parameter_info=data.class_parameter_info,
        definition_id=f"de-{function.id}",
        method_handle_metadata=methods,
        supported_input_formats=data.supported_input_formats,
        supported_output_formats=data.supported_output_formats,
        app_id=function.app.id,
    )
