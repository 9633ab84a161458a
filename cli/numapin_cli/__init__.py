"""The command line: ``numapin`` and ``kubectl numapin``."""
