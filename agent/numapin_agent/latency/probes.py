"""What can be counted always. Apart from what does it, which most agents never load."""

from typing import Final

PROBES: Final = ("softirqs", "hardirqs", "timers", "netfilter")
"""Of the probes of ``numapin_agent.trace``."""
