"""`kill -9` and SIGTERM at random moments under load: the long search, and the slice of it that CI runs.

    tests/crash/run kills [KILLS] [SEED]

It writes its section of docs/crashes.md. One data directory lives through all of it. Every so many kills the producers finish, the broker is killed once more,
everything is read and checked, and new producers begin on new topics with another number of cores.
"""

import os
import random
import sys
import tempfile
import time
from collections import Counter

import page
from broker import Broker
from load import Load

KILLS_PER_LOAD = 16


class Search:
    def __init__(self, folder, seed, say=lambda line: None):
        self.random, self.say = random.Random(seed), say
        self.broker = Broker(folder, "--cores", "2")
        self.tally, self.starts = Counter(), []
        self.load = None
        # Once each, however the dice fall.
        self.owed = [self.kill_and_kill_the_start, self.terminate, self.terminate_and_kill]

    def run(self, kills):
        self.start()
        while self.tally["kill -9"] < kills:
            self.broker.flags = ("--cores", self.random.choice("12"))
            self.live(min(KILLS_PER_LOAD, kills - self.tally["kill -9"]))
        return self.tally

    def end(self):
        if self.load:
            self.load.abandon()
        self.broker.end()

    def live(self, kills):
        """One life of the producers."""
        until = self.tally["kill -9"] + kills
        self.load = load = Load(self.broker, f"life-{self.tally['lives']}", segment_bytes=self.random.choice([1, 4, 64]) << 20)
        while self.tally["kill -9"] < until:
            time.sleep(self.random.uniform(0, 0.8))
            self.end_somehow()
        load.wait_for(50)
        load.finish()
        self.kill()
        self.start()
        self.tally["lives"] += 1
        self.tally["records acknowledged"] += load.acknowledged
        self.tally["records found and compared"] += load.check()
        self.say(f"{self.tally['kill -9']} kills, {load.acknowledged} records more acknowledged, all there")
        load.delete_topics()

    def end_somehow(self):
        """Ends the broker in one of the ways, and starts it again."""
        ways = [self.kill, self.kill_and_kill_the_start, self.terminate, self.terminate_and_kill]
        (self.owed.pop() if self.owed else self.random.choices(ways, [10, 5, 3, 2])[0])()
        self.start()

    def kill(self):
        self.broker.kill()
        self.tally["kill -9"] += 1

    def kill_and_kill_the_start(self):
        """Once or more in quick succession, mostly before it serves anybody."""
        self.kill()
        for _ in range(self.random.choice([1, 1, 2, 3])):
            self.broker.spawn()
            time.sleep(self.random.uniform(0, 1.5 * self.starts[-1]))
            self.kill()
            self.tally["of them in or just after a start"] += 1

    def terminate(self):
        code, seconds = self.broker.stop()
        assert code == 0, f"after SIGTERM it ended with {code}: {self.broker.tail()}"
        self.tally["SIGTERM"] += 1
        self.tally["slowest SIGTERM, ms"] = max(self.tally["slowest SIGTERM, ms"], round(seconds * 1000))

    def terminate_and_kill(self):
        """SIGTERM, and no patience."""
        self.broker.process.terminate()
        time.sleep(self.random.uniform(0, 0.1))
        self.kill()
        self.tally["of them after SIGTERM"] += 1

    def start(self):
        begun = time.monotonic()
        self.broker.start()
        self.starts.append(time.monotonic() - begun)


def main(kills=400, seed=None):
    seed = int(seed) if seed else random.SystemRandom().randrange(1 << 32)
    command = f"tests/crash/run kills {kills} {seed}"
    print(command, flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="millstream-kills-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as folder:
        search = Search(folder, seed, lambda line: print(f"{time.monotonic() - begun:6.0f} s: {line}", flush=True))
        try:
            tally = search.run(int(kills))
        except BaseException as error:
            print(f"FAILED after {dict(search.tally)}: {error!r}\n{search.broker.tail()}\nagain: {command}", flush=True)
            raise
        finally:
            search.end()
    starts = sorted(search.starts[1:])
    tally["ms from the start of the process until it is ready, median"] = round(starts[len(starts) // 2] * 1000)
    tally["ms, longest"] = round(starts[-1] * 1000)
    for name, count in tally.items():
        print(f"{count:>10} {name}")
    page.write("kill -9 and SIGTERM under load", command, [*tally.items(), ("records lost, changed or there twice", 0)])
    print("passed: nothing lost, nothing changed, nothing twice")


if __name__ == "__main__":
    main(*sys.argv[1:])
