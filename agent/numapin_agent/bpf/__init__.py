"""How the agent uses the kernel's BPF, whatever for: the counters and the traces stand on this.

Pure: ``btf`` (the kernel's types), ``objects`` (what was compiled), ``programs``. Of the loader
children: ``child``, ``compiler``, ``attach``; their parent's ``launch``; both ends' ``wire``.
``syscalls`` and ``perf`` are the kernel's doors, ``maps`` reads whole tables. What is counted or
asked is its users'. This file imports nothing, because the loader children have bcc's
interpreter, not the agent's dependencies.
"""
