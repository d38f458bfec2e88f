"""Pictures with Flux Dev and a LoRA.

python clients/flux_lora.py --prompt "ohwx woman in a cafe" --lora-id ann --output ann.png
"""

from ryla_client._cli import run

if __name__ == "__main__":
    raise SystemExit(run("flux-lora"))
