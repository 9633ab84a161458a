"""Always-on histograms of what the kernel does on this node, for Prometheus.

Off unless asked for. The same kernel programs as those of ``numapin_agent.trace``, of the whole
node and without end: ``held`` keeps them attached, ``series`` makes metrics of what they count.
"""
