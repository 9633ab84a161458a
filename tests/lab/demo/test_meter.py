"""Helper processes: restarted when they end, gone with the block."""

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from numapin_lab.demo.cluster import eventually
from numapin_lab.demo.meter import AgentScraper, Child, Meter, NodeStream
from numapin_lab.demo.series import PodCounters

UID = "0c2b8caf-1111-4222-8333-444455556666"
SLICE = f"/sys/fs/cgroup/kubepods/pod{UID}/memory.numa_stat"
PASS = f"@\\n{SLICE}:anon N0=4096\\n.\\n"
PAGE = b"""\
# TYPE numapin_pod_numa_migrated_pages counter
numapin_pod_numa_migrated_pages_total{namespace="demo",pod="hopper"} 7
"""


def test_a_child_that_ended_is_started_again(tmp_path):
    with Child(lambda: ["true"], tmp_path / "log") as child:
        first = child.start()
        first.wait()
        assert child.start().pid != first.pid


def test_a_child_is_gone_after_the_block(tmp_path):
    with Child(lambda: ["sleep", "1000"], tmp_path / "log") as child:
        running = child.start()
        assert child.start() is running
    assert running.returncode is not None


def test_a_child_that_ignores_sigterm_is_gone_too(tmp_path):
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    with Child(lambda: ["sh", "-c", script], tmp_path / "log") as child:
        running = child.start()
        assert running.stdout.readline() == "ready\n"
    assert running.returncode is not None


@pytest.fixture
def page():
    """An agent's page on a free port; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def forwarder(tmp_path, page):
    """A program that is called like kubectl and forwards with what every machine has."""
    program = tmp_path / "kubectl"
    program.write_text(
        f"""#!{os.sys.executable}
import socket, sys, threading
here, there = sys.argv[-1].split(":")
with open({str(tmp_path / "called")!r}, "a") as file:
    print(*sys.argv[1:], file=file)
def serve(one):
    with socket.create_connection(("127.0.0.1", {page})) as other:
        other.sendall(one.recv(65536))
        while data := other.recv(65536):
            one.sendall(data)
    one.close()
with socket.create_server(("127.0.0.1", int(here))) as server:
    while True:
        serve(server.accept()[0])
"""
    )
    program.chmod(0o755)
    return program


def test_agent_and_node_on_one_clock(tmp_path, page):
    agents = ["agent-1"]
    scraper = AgentScraper(
        [forwarder(tmp_path, page)],
        lambda: ("numapin-system", agents[0], 9465),
        tmp_path / "forward.log",
    )
    stream = NodeStream(["sh", "-c", f"printf '{PASS}'; exec sleep 1000"], tmp_path / "ssh.log")
    with Meter(scraper, stream, clock=lambda: 17.0) as meter:

        def whole():
            second = meter.read()
            return second if second.pods and second.memory else None

        second = eventually(whole, seconds=20, what="both were read", every_seconds=0.1)
    assert second.time == 17.0
    assert second.pods == {("demo", "hopper"): PodCounters(migrated_pages=7)}
    assert second.memory == {UID: {0: 4096}}
    called = (tmp_path / "called").read_text()
    assert called.startswith("port-forward -n numapin-system pod/agent-1 ")
    assert called.strip().endswith(":9465")


def test_no_agent_is_no_reading(tmp_path):
    scraper = AgentScraper(["kubectl"], lambda: None, tmp_path / "forward.log")
    stream = NodeStream(["true"], tmp_path / "ssh.log")
    with Meter(scraper, stream) as meter:
        second = meter.read()
    assert (second.pods, second.memory) == ({}, {})
