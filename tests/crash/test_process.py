"""What befalls the process itself, the disk being well: it stands still, or has few descriptors."""

import os
import signal
import socket
import struct
import time

import broker
from disks import insist
from load import Load

# As few as it starts with, and some.
DESCRIPTORS = 400
# ApiVersions, version 0, correlation 1, no client id.
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def test_a_process_that_stands_still_for_seconds_goes_on_where_it_was(scratch):
    one = broker.Broker(scratch, "--cores", "2").start()
    try:
        load = Load(one, "still")
        load.wait_for(300)
        one.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        before = load.acknowledged
        time.sleep(8)
        assert load.acknowledged == before, "it does stand still"
        one.process.send_signal(signal.SIGCONT)
        load.wait_for(100)
        load.finish()
        load.check()
    finally:
        one.end()


def test_with_few_descriptors_it_serves_whom_it_has_and_turns_others_away(scratch, monkeypatch):
    few = os.path.join(scratch, "few")
    with open(few, "w") as script:
        script.write(f'#!/bin/sh\nexec prlimit --nofile={DESCRIPTORS}:{DESCRIPTORS} {broker.BINARY} "$@"\n')
    os.chmod(few, 0o755)
    monkeypatch.setattr(broker, "BINARY", few)
    one = broker.Broker(scratch, "--cores", "2").start()
    try:
        assert b"may open few descriptors" in one.said()
        load = Load(one, "few", segment_bytes=1 << 20)
        load.wait_for(100)
        strangers = [connect(one) for _ in range(DESCRIPTORS)]
        served = sum(map(answers, strangers))
        assert 0 < served < DESCRIPTORS / 2, served
        load.wait_for(1000)
        assert len(os.listdir(f"/proc/{one.process.pid}/fd")) <= DESCRIPTORS
        for stranger in strangers:
            stranger.close()
        insist(lambda: answers(connect(one)))
        load.finish()
        load.check()
        assert b"fenced" not in one.said()
    finally:
        one.end()


def connect(one):
    stranger = socket.create_connection(("127.0.0.1", one.port))
    stranger.settimeout(10)
    return stranger


def answers(stranger):
    """Whether it is served; who is turned away finds the connection closed."""
    try:
        stranger.sendall(API_VERSIONS)
        return len(stranger.recv(4)) > 0
    except ConnectionError:
        return False
