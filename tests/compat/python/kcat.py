"""The adapter of kcat, which is a program of its own: it is run for each call, and for each member as long as it is one."""

import json
import queue
import re
import subprocess
import sys
import threading
import time

from wire import Absent, serve

SECONDS = 60
COMMIT_MS = 200
# Neither is in any text.
BETWEEN_RECORDS, BEFORE_VALUE = "\x1e", "\x1f"


class Kcat:
    def __init__(self, address):
        self.address = address
        self.members = {}

    def command(self, mode, **config):
        settings = [it for name, value in config.items() for it in ("-X", f"{name.replace('_', '.')}={value}")]
        return ["kcat", "-b", self.address, mode, *settings]

    def run(self, *arguments, given="", **config):
        done = subprocess.run([*self.command(arguments[0], **config), *arguments[1:]], input=given, capture_output=True,
                              text=True, timeout=SECONDS)
        if done.returncode:
            raise ChildProcessError(done.stderr)
        return done.stdout

    def version(self):
        said = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
        return re.search(r"Version (\S+)", said)[1]

    def produce(self, topic, records, compression, idempotent):
        if any(it["timestamp"] for it in records):
            raise Absent("it stamps records itself")
        alike = []
        for it in records:
            shape = (it["partition"], it["key"] is None, it["value"] is None, tuple(map(tuple, it["headers"])))
            if not alike or alike[-1][0] != shape:
                alike.append((shape, []))
            alike[-1][1].append(it)
        for (partition, is_keyless, is_null, headers), some in alike:
            flags = [it for name, value in headers for it in ("-H", f"{name}={value}")]
            flags += [] if is_keyless else ["-K", BEFORE_VALUE]
            flags += ["-Z"] if is_null else []
            lines = [("" if is_keyless else it["key"] + BEFORE_VALUE) + (it["value"] or "") for it in some]
            self.run("-P", "-E", "-t", topic, "-p", str(partition), "-D", BETWEEN_RECORDS, *flags,
                     given=BETWEEN_RECORDS.join(lines), compression_codec=compression, batch_size=16384,
                     enable_idempotence=str(idempotent).lower())

    def read(self, topic, partition, offset, count):
        lines = self.run("-C", "-t", topic, "-p", str(partition), "-o", str(offset), "-c", str(count), "-J", "-q")
        return [told(line) for line in lines.splitlines()]

    def offset_at(self, topic, partition, timestamp):
        offset = int(self.run("-Q", "-t", f"{topic}:{partition}:{timestamp}").split()[-1])
        return None if offset < 0 else offset

    def join(self, member, topic, group, protocol, commit, instance):
        if commit == "manual":
            raise Absent("it commits by itself only")
        if protocol == "consumer":
            raise Absent("its librdkafka is older than the protocol")
        config = {"auto_offset_reset": "earliest", "auto_commit_interval_ms": COMMIT_MS, "session_timeout_ms": 6000,
                  "heartbeat_interval_ms": 300,
                  "partition_assignment_strategy": "cooperative-sticky" if protocol == "cooperative" else "range"}
        if instance:
            config["group_instance_id"] = instance
        self.members[member] = Member([*self.command("-E", **config), "-q", "-u", "-J", "-G", group, topic])

    def poll(self, member, ms):
        return self.members[member].take(ms / 1000)

    def commit(self, member):
        time.sleep(2 * COMMIT_MS / 1000)

    def leave(self, member):
        self.members.pop(member).end()


class Member:
    """A kcat that reads in a group, and what it has said."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.said = queue.SimpleQueue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.said.put(told(line))

    def take(self, seconds):
        try:
            found = [self.said.get(timeout=seconds)]
        except queue.Empty:
            return []
        while not self.said.empty():
            found.append(self.said.get())
        return found

    def end(self):
        self.process.terminate()
        self.process.wait(SECONDS)


def told(line):
    it = json.loads(line)
    headers = it.get("headers") or []
    return {"partition": it["partition"], "offset": it["offset"], "key": it["key"], "value": it["payload"],
            "timestamp": it.get("ts"), "headers": [list(pair) for pair in zip(headers[::2], headers[1::2])]}


serve(Kcat(sys.argv[1]))
