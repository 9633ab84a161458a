"""The latency toolbox: what the kernel does to a pod, asked for a bounded time.

``run.run(question, scope, …) -> Result`` is the whole interface. Pure: ``question``, ``plan``,
``histogram``, ``result``, ``causes``, ``symbols``, ``blame``, ``kept``, and ``answers`` with its
``tables``, ``spikes`` and ``words``. Edge: ``loader`` (the child that compiles), ``launch``,
``run``, ``running``, ``machine``, ``procfs``, ``sockets``, ``pause``. This file imports nothing,
because the loader child has bcc's interpreter, not the agent's dependencies.
"""
