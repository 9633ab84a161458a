"""The latency demo: a timer of the kernel that makes redis slow once in a while, found and mended.

The case is real and known: kernels before 6.2 walk the statistics of all IPVS services in one
timer callback. What ``kubectl numapin trace`` says of it is all that names the culprit here.
"""
