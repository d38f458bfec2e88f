"""Modal's control plane on loopback, as far as this project uses it.

The real `modal` CLI deploys to it, and each container is a process of Modal's own runner with the
files that were deployed and nothing else of the project:

    with ModalPlane() as plane:
        plane.secrets["bucket"] = {"RYLA_BUCKET": "jobs"}
        plane.cli("deploy", "app.py", cwd=root)
        plane.app("ryla").functions["dispatch"].cron       what was registered
        plane.result(plane.call("dispatch"))               what ran

It does not simulate images (a test says what their variables would be), GPUs, volumes, snapshots of
memory, regions, prices, limits, or time limits of inputs. Of web requests it knows the path through
the container's ASGI wrapper. What it does not know is answered with UNIMPLEMENTED, as is the detour
of large inputs through blob storage: an input that needs it fails.
"""

from tests.support.modal_plane.plane import ModalPlane

__all__ = ["ModalPlane"]
