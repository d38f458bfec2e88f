"""Functions and classes: registering them, finding them, and their variants."""

# ruff: noqa: N802  the protocol's names

from tests.support.modal_plane.apps import handle
from tests.support.modal_plane.state import Function, State
from tests.support.modal_plane.wire import Part, not_found, pb


class Functions(Part):
    def __init__(self, state: State, web_root: str) -> None:
        """`web_root` is where web endpoints are served."""
        self._state = state
        self._web_root = web_root

    async def FunctionPrecreate(
        self, request: pb.FunctionPrecreateRequest
    ) -> pb.FunctionPrecreateResponse:
        id = request.existing_function_id or self._state.new_id("fu")
        data = pb.FunctionData(
            function_name=request.function_name,
            function_type=request.function_type,
            webhook_config=request.webhook_config,
            method_definitions=request.method_definitions,
        )
        self._add_urls(data)
        function = Function(id, self._state.apps[request.app_id], data)
        return pb.FunctionPrecreateResponse(function_id=id, handle_metadata=handle(function))

    async def FunctionCreate(self, request: pb.FunctionCreateRequest) -> pb.FunctionCreateResponse:
        id = request.existing_function_id or self._state.new_id("fu")
        data = _ranked(request)
        self._add_urls(data)
        function = Function(id, self._state.apps[request.app_id], data)
        self._state.functions[id] = function
        return pb.FunctionCreateResponse(
            function_id=id, function_data=data, handle_metadata=handle(function)
        )

    async def FunctionGet(self, request: pb.FunctionGetRequest) -> pb.FunctionGetResponse:
        function = self._state.functions[self._find(request.app_name, request.object_tag)]
        return pb.FunctionGetResponse(
            function_id=function.id, handle_metadata=handle(function), function=function.data
        )

    async def FunctionBindParams(
        self, request: pb.FunctionBindParamsRequest
    ) -> pb.FunctionBindParamsResponse:
        """One variant, with containers of its own, for each set of parameters and options."""
        key = request.SerializeToString(deterministic=True)
        if key not in self._state.variants:
            base = self._state.functions[request.function_id]
            data = pb.FunctionData()
            data.CopyFrom(base.data)
            _apply(request.function_options, data)
            id = self._state.new_id("fu")
            variant = Function(id, base.app, data, base, request.serialized_params)
            self._state.variants[key] = self._state.functions[id] = variant
        variant = self._state.variants[key]
        return pb.FunctionBindParamsResponse(
            bound_function_id=variant.id, handle_metadata=handle(variant)
        )

    async def ClassCreate(self, request: pb.ClassCreateRequest) -> pb.ClassCreateResponse:
        return pb.ClassCreateResponse(
            class_id=request.existing_class_id or self._state.new_id("cs")
        )

    async def ClassGet(self, request: pb.ClassGetRequest) -> pb.ClassGetResponse:
        return pb.ClassGetResponse(class_id=self._find(request.app_name, request.object_tag))

    def _find(self, app_name: str, tag: str) -> str:
        app = self._state.deployed(app_name)
        if app is None:
            raise not_found(f"App '{app_name}' not found in environment 'main'")
        if tag not in app.objects:
            raise not_found(f"No function named '{tag}' in app '{app_name}'")
        return app.objects[tag]

    def _add_urls(self, data: pb.FunctionData) -> None:
        if data.webhook_config.type:
            data.web_url = f"{self._web_root}/{web_label(data)}"


def web_label(data: pb.FunctionData) -> str:
    """The part of its address that tells it from the app's other endpoints."""
    given: str = data.webhook_config.requested_suffix
    return given or data.function_name.replace("_", "-").replace(".", "-").lower()


def _ranked(request: pb.FunctionCreateRequest) -> pb.FunctionData:
    """One form for both: with a list of GPUs the client sends it, else it is made here."""
    data = pb.FunctionData()
    if request.function_data.ranked_functions:
        data.CopyFrom(request.function_data)
        return data
    definition = request.function
    for field in data.DESCRIPTOR.fields:
        shared = definition.DESCRIPTOR.fields_by_name.get(field.name)
        if shared is None or shared.type != field.type:
            continue
        value = getattr(definition, field.name)
        if field.is_repeated or field.message_type is not None:
            getattr(data, field.name).MergeFrom(value)
        else:
            setattr(data, field.name, value)
    data.ranked_functions.add(rank=0).function.CopyFrom(definition)
    return data


def _apply(options: pb.FunctionOptions, data: pb.FunctionData) -> None:
    """What `with_options` changes. A list of GPUs becomes the one that it names."""
    if options.HasField("resources"):
        del data.ranked_functions[1:]
        data.ranked_functions[0].function.resources.MergeFrom(options.resources)
    if options.replace_secret_ids:
        for ranked in data.ranked_functions:
            ranked.function.ClearField("secret_ids")
            ranked.function.secret_ids.extend(options.secret_ids)
