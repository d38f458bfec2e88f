"""ControlNetLoader's place, for a ControlNet that stays where it lies."""

from importlib import import_module
from typing import Any

from .step_graphs import RecordedControl


class RylaLoadControlNet:
    """The same ControlNet; its steps are recorded where those of the model are."""

    CATEGORY = "ryla"
    RETURN_TYPES = ("CONTROL_NET",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        names = import_module("folder_paths").get_filename_list("controlnet")
        return {"required": {"control_net_name": (names,)}}

    def load(self, control_net_name: str) -> tuple[Any]:
        paths, nets = import_module("folder_paths"), import_module("comfy.controlnet")
        path = paths.get_full_path_or_raise("controlnet", control_net_name)
        control = nets.load_controlnet(path)
        if type(control) is nets.ControlNet:
            # ComfyUI's dynamic memory would cast its weights layer by layer; so it does not.
            dynamic = control.control_model_wrapped
            control.control_model_wrapped = import_module("comfy.model_patcher").ModelPatcher(
                control.control_model,
                load_device=dynamic.load_device,
                offload_device=dynamic.offload_device,
            )
            control.control_model = RecordedControl(control.control_model)
        return (control,)
