"""Plugins that every test may use; each says in its docstring what it gives."""

pytest_plugins = [
    "support.summary",
    "support.apiserver",
    "support.chart",
    "support.install",
    "support.prometheus",
]
