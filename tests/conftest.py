"""Plugins that every test may use; each says in its docstring what it gives."""

import signal

from hypothesis import settings

pytest_plugins = [
    "support.summary",
    "support.apiserver",
    "support.chart",
    "support.install",
    "support.prometheus",
]

# How long one example takes says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# However the tests were started: a shell has its background jobs ignore Ctrl-C, and all that
# those start inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
