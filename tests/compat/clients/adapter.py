"""A client library behind a pipe: a small program in the library's own language that does one verb at a time.

Every line to it is a verb with its arguments as JSON, every line from it the answer: {"answer": …}, {"error": what
the library said}, or {"absent": why the library has no such thing}. The verbs are the methods below.
"""

import json
import os
import subprocess
import threading

from broker import end_with

VERB_SECONDS = 90


class Failed(Exception):
    """The library said that something cannot be done."""


class Absent(Exception):
    """The library has no such thing."""


class Adapter:
    """One running adapter. Records are objects of partition, offset, key, value, headers, timestamp; texts or null."""

    def __init__(self, command, address, folder):
        self.command, self.folder = command, folder
        self.log = open(os.path.join(folder, "client.log"), "ab")
        self.process = subprocess.Popen([*command, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, preexec_fn=end_with(os.getpid()))

    def call(self, verb, **arguments):
        watch = threading.Timer(VERB_SECONDS, self.kill)
        watch.start()
        try:
            self.process.stdin.write(json.dumps({"verb": verb, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        if not line:
            raise Failed(f"{verb}: the program ended, or took longer than {VERB_SECONDS} s")
        reply = json.loads(line)
        if "absent" in reply:
            raise Absent(reply["absent"])
        if "error" in reply:
            raise Failed(f"{verb}: {reply['error']}")
        return reply.get("answer")

    def kill(self):
        self.process.kill()

    def close(self):
        self.kill()
        self.process.wait()
        self.log.close()

    def version(self):
        return self.call("version")

    def produce(self, topic, records, compression="none", idempotent=False):
        """Sends them all and waits until each is acknowledged; partitions are those that the records name."""
        self.call("produce", topic=topic, records=records, compression=compression, idempotent=idempotent)

    def read(self, topic, partition, offset, count):
        """So many records from that offset on, outside of groups where the library can."""
        return self.call("read", topic=topic, partition=partition, offset=offset, count=count)

    def offset_at(self, topic, partition, timestamp):
        """The first offset whose record is not older; null when there is none."""
        return self.call("offset_at", topic=topic, partition=partition, timestamp=timestamp)

    def join(self, member, topic, group, protocol="classic", commit="manual", instance=None):
        """A consumer under this name begins to join. Protocol: classic, cooperative or consumer; commit: manual, auto,
        which is done every 200 ms and by leaving, or any, which is manual where the client has that; instance: the
        name of a static member. Members may be silent for six seconds."""
        self.call("join", member=member, topic=topic, group=group, protocol=protocol, commit=commit, instance=instance)

    def poll(self, member, ms=100):
        """Records that came for that consumer, waiting for the first of them at most so long."""
        return self.call("poll", member=member, ms=ms)

    def commit(self, member):
        """Commits everything that polls of this consumer gave, and waits for it."""
        self.call("commit", member=member)

    def leave(self, member):
        self.call("leave", member=member)

    def admin(self, what, **arguments):
        return self.call(what, **arguments)
