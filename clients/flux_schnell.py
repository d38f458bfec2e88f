"""Quick pictures with Flux Schnell.

python clients/flux_schnell.py --prompt "a paper boat" --output boat.png
"""

from ryla_client._cli import run

if __name__ == "__main__":
    raise SystemExit(run("flux-schnell"))
