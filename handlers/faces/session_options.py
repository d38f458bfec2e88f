"""How onnxruntime runs a network on this machine's processor."""

from typing import Any


def session_options(runtime: Any) -> Any:
    """Of the module `onnxruntime`, for its `InferenceSession`.

    Its threads sleep between two operators. Spinning, which is what they do if nobody says
    otherwise, they took twice the networks' own time of the processor again, from ComfyUI and from
    whatever else runs here.
    """
    options = runtime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
