"""Tells schedulers what is left of each socket, by NodeResourceTopology objects; off by default.

The kind is that of github.com/k8stopologyawareschedwg/noderesourcetopology-api. Nothing in here
decides where a pod goes, and nothing else of the operator depends on it.
"""
