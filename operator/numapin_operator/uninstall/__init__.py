"""What ``helm uninstall`` runs before anything is deleted: pods get their cpusets back.

Agents keep every pin when they end, so that a restart or an upgrade costs nobody a pin.
Only an uninstall is different, and only the release can tell: by this program, which a
pre-delete hook of the chart starts. It asks the agents, waits for what they read back from
the kernel, and names the nodes that nobody answers for. It never touches a node itself, and
it always ends: a node that is gone must not keep anybody from uninstalling.
"""
