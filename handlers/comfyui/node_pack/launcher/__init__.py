"""Imports ComfyUI once, with the GPU hidden, and forks a server from it whenever one is asked for.

An import takes seconds, a fork hundredths. No file of ComfyUI is changed and no function of it
replaced: what an import without a GPU decided otherwise is decided again in the fork, by ComfyUI's
own statements. handlers/comfyui/launcher.py is the other end.
"""
