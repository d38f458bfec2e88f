"""ComfyUI graphs as typed code, and ComfyUI's own checks of them against the interfaces of its
nodes. Pure: it talks to no ComfyUI, and opens no file but the committed table of interfaces."""
