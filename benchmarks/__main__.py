"""All benchmarks: python -m benchmarks [--quick]"""

import sys

from benchmarks import client, latency, loras, scale, throughput, validation

for benchmark in (client, throughput, latency, scale, loras, validation):
    benchmark.main(sys.argv[1:])
