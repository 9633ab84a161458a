"""The demo: real pods before and after they are pinned, measured second by second.

What is shown is what was measured, by the agent's kernel counters and by the kernel's own
files on the node. The demo plans nothing and pins nothing itself: it sets a label.
"""
