"""Where pods go: the pure planner, shared by the operator and ``numapin plan``.

No I/O, no clock, no chance: the same state gives the same answer, whatever order of events
led to it. What is known of a cluster and what becomes of a decision is elsewhere.
"""
