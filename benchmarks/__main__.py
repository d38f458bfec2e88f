"""All benchmarks: python -m benchmarks [--quick]"""

import sys

from benchmarks import client, latency, loras, scale, throughput

for benchmark in (client, throughput, latency, scale, loras):
    benchmark.main(sys.argv[1:])
