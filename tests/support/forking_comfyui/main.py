"""Built as ComfyUI's main.py: what starts and serves stands last."""

import asyncio
import os
import sys
import threading
from types import SimpleNamespace

import comfy.ldm.modules.attention
import comfy.model_management
import comfy.ops
import comfy_kitchen
import comfy_kitchen.backends.cuda
import comfy_kitchen.backends.triton
import comfy_kitchen.registry
import comfy_kitchen.tensor.base
import torch
from comfy.cli_args import args

if args.mode == "fails":
    raise RuntimeError("no kernel image is available")
if args.mode == "touches":
    torch.cuda.is_initialized = lambda: True

DEVICES = []
comfy_aimdo = SimpleNamespace(control=SimpleNamespace(init=list, init_devices=DEVICES.append))
comfy_aimdo.control.init()
comfy_aimdo.control.init_devices(os.environ.get("CUDA_VISIBLE_DEVICES"))
asset_seeder = SimpleNamespace(shutdown=lambda: None)
executed = threading.Event()
ANSWER = b'{"system": {"comfyui_version": "0.33.0"}}'


def prompt_worker(queue, server):
    executed.set()


def cleanup_temp():
    pass


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    executed.wait()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ANSWER)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + ANSWER)
    writer.close()


def start_comfyui(asyncio_loop=None):
    server = SimpleNamespace(loop=asyncio_loop)
    threading.Thread(target=prompt_worker, daemon=True, args=(None, server)).start()

    async def start_all():
        assert server.loop is asyncio.get_running_loop()
        print(f"devices {DEVICES}, {torch.cuda.get_device_name()}", flush=True)
        if args.mode == "ends":
            sys.exit("RuntimeError: the port is taken")
        await (await asyncio.start_server(answer, args.listen, args.port)).serve_forever()

    return asyncio_loop, server, start_all


if __name__ == "__main__":
    loop, _, start = start_comfyui(asyncio.new_event_loop())
    loop.run_until_complete(start())
