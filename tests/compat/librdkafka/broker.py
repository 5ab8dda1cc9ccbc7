"""The real broker as a process of its own: started, killed and started again over one data directory."""

import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import time
import uuid

from confluent_kafka.admin import NewTopic

BINARY = os.environ.get("MILLSTREAM_BINARY")
READY_SECONDS = 60
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Broker:
    """One broker process over one data directory; it may be killed and started again on the same port."""

    def __init__(self, folder, *flags, data=None):
        self.data = data or os.path.join(folder, "data")
        self.flags = flags
        self.port = free_port()
        self.process = None
        self.log = open(os.path.join(folder, "broker.log"), "ab")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.spawn()
        self.wait_until_ready()
        return self

    def spawn(self):
        """Starts the process and does not wait for it."""
        self.said_before = os.path.getsize(self.log.name)
        command = [BINARY, "start", "--data-dir", self.data, "--listen", self.address, *self.flags]
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env=environment(), preexec_fn=end_with(os.getpid())
        )

    def wait_until_ready(self):
        """Until it says so: a connection may still be taken by the socket of a process that was killed just now."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the broker ended: {self.tail()}"
            if b"ready on" in self.said():
                return
            time.sleep(0.005)
        raise AssertionError(f"the broker was not ready within {READY_SECONDS} s: {self.tail()}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM; returns the exit code and the seconds that it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        return code, time.monotonic() - started

    def end(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self.log.close()

    def said(self):
        """What it logged since its process was started."""
        with open(self.log.name, "rb") as log:
            log.seek(self.said_before)
            return log.read()

    def tail(self):
        with open(self.log.name, "rb") as log:
            return log.read()[-4000:].decode(errors="replace")

    def tool(self, *arguments):
        """What a command of millstream says about this broker; it must end well."""
        done = subprocess.run([BINARY, *arguments, "--brokers", self.address], env=environment(), capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def client_metrics(self, client_id, *prefixes):
        """The metrics that the clients with this id pushed last, by their names; their software as the key of all."""
        clients = json.loads(self.tool("client", "metrics", *prefixes, "--client-id", client_id, "--json"))
        return {it["client_software_name"]: {metric["name"]: metric["points"] for metric in it["metrics"]}
                for it in clients}


def environment():
    """What is set for the tests is not for millstream, which refuses variables that it does not know."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}


def end_with(starter):
    """To be called between fork and exec: the kernel kills the process when this one ends, however it ends."""

    def ask():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # Who ended before the line above sends no signal any more.
        if os.getppid() != starter:
            os._exit(1)

    return ask


def free_port():
    """A free port below those that the system gives to outgoing connections: a client that tries to reach a broker that is
    down could otherwise be given the broker's own port, and connect to itself."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def make_topic(admin, partitions=1, **config):
    name = f"t-{uuid.uuid4().hex[:12]}"
    settings = {key.replace("_", "."): str(value) for key, value in config.items()}
    for future in admin.create_topics([NewTopic(name, partitions, 1, config=settings)]).values():
        future.result(15)
    deadline = time.monotonic() + 15
    while admin.list_topics(name, timeout=15).topics[name].error is not None:
        assert time.monotonic() < deadline, f"{name} did not appear in the metadata"
    return name
