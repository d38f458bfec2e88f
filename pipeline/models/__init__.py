"""Weight files: where they come from, whether they are there and the right ones, which versions
are in use, and how ComfyUI finds them. It loads no weights."""
