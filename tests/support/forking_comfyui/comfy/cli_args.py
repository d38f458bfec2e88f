import argparse

parser = argparse.ArgumentParser()
for name in ("listen", "database-url", "extra-model-paths-config"):
    parser.add_argument(f"--{name}")
for name in ("input", "output", "temp", "user"):
    parser.add_argument(f"--{name}-directory")
parser.add_argument("--port", type=int)
parser.add_argument("--mode", default="well")
parser.add_argument("--disable-metadata", action="store_true")
args = parser.parse_args()
args.cpu = True
