from itertools import count
from types import SimpleNamespace

import torch

from comfy.cli_args import args

calls = count()


def get_total_memory(device):
    return torch.cuda.mem_get_info()[1] + (0 if args.mode != "unlike" else next(calls))


def get_torch_device():
    return SimpleNamespace(type="cpu")


def set_cudnn_benchmark():
    pass


def is_nvidia():
    return False


total_vram = get_total_memory(get_torch_device()) / (1024 * 1024)
