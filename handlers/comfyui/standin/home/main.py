"""Started as ComfyUI's main.py is: `python main.py --listen 127.0.0.1 --port 8188 ...`."""

from handlers.comfyui.standin.server import main

if __name__ == "__main__":
    main()
