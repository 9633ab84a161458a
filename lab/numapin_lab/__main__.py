"""`python -m numapin_lab`, what lab/lab runs."""

from numapin_lab.cli import run

run()
