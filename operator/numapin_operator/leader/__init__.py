"""Lets a second operator stand by: one leads, by a Lease, and the API server refuses the other.

A Lease alone keeps nobody from writing: a request may be under way for longer than it lasts. So
a ValidatingAdmissionPolicy of the chart refuses what an operator writes whose pod the NumaLeader
does not name, and nobody leads before it was seen to do so. What the operator decides is none
of this package's business.
"""
