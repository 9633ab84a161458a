"""msgspec's first use of a type by several threads at once crashes; ``prime`` comes before."""

import subprocess
import sys

import pytest

RACE = """
import json, sys, threading
sys.setswitchinterval(1e-6)
from lightkube.core import decoders
from numapin_agent.kube import NodeView, PinResource, prime
from numapin_agent.pods import PodView
prime()
meta = {"name": "a", "namespace": "d", "uid": "u", "labels": {"numapin.io/pin": "true"}}
container = {"name": "c", "containerID": "containerd://x"}
one = json.dumps({"metadata": meta, "status": {"containerStatuses": [container]}}).encode()
many = b'{"metadata":{"resourceVersion":"1"},"items":[' + one + b"]}"
event = b'{"type":"ADDED","object":' + one + b"}"
status = b'{"code":410,"details":{"causes":[{"field":"x"}]},"metadata":{"continue":"y"}}'
work = [
    lambda: decoders.decode_list(many, PodView),
    lambda: decoders.decode_list(many, PinResource),
    lambda: decoders.decode_object(one, PodView),
    lambda: decoders.decode_object(one, NodeView),
    lambda: decoders.decode_watch_event(event),
    lambda: decoders.decode_status(status),
    lambda: PinResource(json.loads(one)).metadata,
]
start = threading.Barrier(16)
def run():
    for job in work:
        start.wait()
        job()
threads = [threading.Thread(target=run) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


@pytest.mark.parametrize("_run", range(4))
def test_answers_are_decoded_by_many_threads_at_once(_run: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path[:0] = sys.argv[1:]\n" + RACE, *sys.path],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
