"""The contract between users, operator and agent: names, value types and the four kinds.

Everything that operator, agent and command line both need to agree on lives here,
and nothing else does: no planning, no kernel, no network. This package imports none
of the others.
"""
