"""``helm test``: pins a pod of its own and waits until the verdict is there.

It needs the whole installation to work: API server, operator, an agent, the kernel. It judges
nothing by itself: it repeats what the NumaPin says.
"""
