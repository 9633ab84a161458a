"""Local and remote DRAM fills by the CPUs' own performance counters (PMU), where there are any.

Which events a CPU has is ``events`` and ``select``, both pure; ``machine`` reads what they need,
``perf`` opens events, ``held`` keeps them open and has them read. Opt-in, since its program runs
at every switch between cgroups.
"""
