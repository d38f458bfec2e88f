"""A graph of your own.

python clients/workflow.py --workflow-file graph.json --output own.png
"""

from ryla_client._cli import run

if __name__ == "__main__":
    raise SystemExit(run("workflow"))
