"""The hands and eyes on a node: reads topology and counters, writes cpusets."""
