"""Keeps pins from costing a pod its life: widens memory nodes before the kernel kills.

``rules`` says when, ``kswapd`` hears the kernel's early sign, ``watch`` is the thread, ``missed``
tells of signs that were lost.
"""
