"""Answers NumaTraces: questions to this node's kernel that come by way of the API server.

``decide`` says what is to become of each and ``fair`` who is next (both pure), ``runner`` does it,
``launch`` starts the process that each trace runs in, ``child`` is that process. How a question is
answered is ``numapin_agent.trace``, which knows nothing of Kubernetes.
"""
