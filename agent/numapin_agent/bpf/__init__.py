"""How the agent uses the kernel's BPF, whatever for: the counters and the traces stand on this.

Types (``btf``), programs compiled and kept (``compiler``, ``objects``), the system calls
(``syscalls``) and whole maps (``maps``). What is counted or asked is its users'. This file
imports nothing, because the loader child has bcc's interpreter, not the agent's dependencies.
"""
