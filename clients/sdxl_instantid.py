"""A person in a picture of SDXL.

python clients/sdxl_instantid.py --prompt "on a quay" --reference-image ann.jpg --output quay.png
"""

from ryla_client._cli import run

if __name__ == "__main__":
    raise SystemExit(run("sdxl-instantid"))
