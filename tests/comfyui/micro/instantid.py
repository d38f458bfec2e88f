"""InstantID's adapter, by default for the micro SDXL.

Its nodes insist on the width at which a face is turned into tokens, so most of that is hollow.
"""

from tests.comfyui.micro.sdxl import MICRO, SdxlSizes, cross_attentions
from tests.comfyui.micro.shapes import Shapes, linear, norm

WIDTH = 1280
FACE = 512
TOKENS = 16
LAYERS = 4
LAYER = "image_proj.layers."


def adapter(sizes: SdxlSizes = MICRO) -> Shapes:
    shapes: Shapes = {"image_proj.latents": (1, TOKENS, WIDTH)}
    shapes |= linear("image_proj.proj_in", FACE, WIDTH)
    for layer in (f"{LAYER}{i}." for i in range(LAYERS)):
        shapes |= norm(f"{layer}0.norm1", WIDTH) | norm(f"{layer}0.norm2", WIDTH)
        shapes |= {
            f"{layer}0.to_q.weight": (WIDTH, WIDTH),
            f"{layer}0.to_kv.weight": (2 * WIDTH, WIDTH),
            f"{layer}0.to_out.weight": (WIDTH, WIDTH),
            f"{layer}1.1.weight": (4 * WIDTH, WIDTH),
            f"{layer}1.3.weight": (WIDTH, 4 * WIDTH),
        }
        shapes |= norm(f"{layer}1.0", WIDTH)
    shapes |= linear("image_proj.proj_out", WIDTH, sizes.context) | norm(
        "image_proj.norm_out", sizes.context
    )
    for at, width in enumerate(cross_attentions(sizes)):
        shapes[f"ip_adapter.{2 * at + 1}.to_k_ip.weight"] = (width, sizes.context)
        shapes[f"ip_adapter.{2 * at + 1}.to_v_ip.weight"] = (width, sizes.context)
    return shapes


def hollow(name: str) -> bool:
    """A layer of zeros lets everything by; the attention of the first alone looks at the face."""
    matrix = ".to_" in name or ".1.1." in name or ".1.3." in name
    return name.startswith(LAYER) and matrix and not name.startswith(f"{LAYER}0.0.")
