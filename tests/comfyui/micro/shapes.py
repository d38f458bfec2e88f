"""Names and shapes of the tensors that models are made of."""

Shapes = dict[str, tuple[int, ...]]


def under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def linear(name: str, width: int, out: int) -> Shapes:
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def conv(name: str, width: int, out: int, *, kernel: int = 3) -> Shapes:
    return {f"{name}.weight": (out, width, kernel, kernel), f"{name}.bias": (out,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def lora(linears: dict[str, tuple[int, int]], *, rank: int) -> Shapes:
    """For linears given as name -> (inputs, outputs), in the habit of ai-toolkit."""
    shapes: Shapes = {}
    for name, (width, out) in linears.items():
        shapes[f"diffusion_model.{name}.lora_A.weight"] = (rank, width)
        shapes[f"diffusion_model.{name}.lora_B.weight"] = (out, rank)
    return shapes
