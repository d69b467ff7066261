"""The benchmark suite: named workloads, each done by fastmlp and by its peers, timed in turn in one run.

``python -m benchmarks.report`` makes the table; ``pytest benchmarks --benchmark-only`` runs everything one by one.
"""
