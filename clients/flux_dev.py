"""Pictures with Flux Dev.

python clients/flux_dev.py --prompt "a lighthouse in fog" --output lighthouse.png
"""

from ryla_client._cli import run

if __name__ == "__main__":
    raise SystemExit(run("flux-dev"))
