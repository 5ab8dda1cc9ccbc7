"""kcat, as its users type it."""

import json
import os
import shutil
import subprocess

import pytest

if shutil.which("kcat") is None:
    message = "kcat is absent: install it (apt-get install kcat) to run these tests"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message, allow_module_level=True)


def kcat(broker, *arguments, given=""):
    done = subprocess.run(["kcat", "-b", broker.address, *arguments], input=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lines_go_in_and_come_out(broker, topic):
    lines = "".join(f"line {n}\n" for n in range(1000))
    kcat(broker, "-P", "-t", topic, "-p", "0", given=lines)
    assert kcat(broker, "-C", "-t", topic, "-p", "0", "-e", "-q") == lines
    assert kcat(broker, "-C", "-t", topic, "-p", "0", "-o", "-3", "-e", "-q") == "line 997\nline 998\nline 999\n"


def test_keys_headers_and_formats(broker, topic):
    kcat(broker, "-P", "-t", topic, "-p", "1", "-K", ":", "-H", "h=1", "-z", "snappy", given="k:v\n")
    shown = kcat(broker, "-C", "-t", topic, "-p", "1", "-e", "-q", "-f", "%p %o %k %s %h\n")
    assert shown == "1 0 k v h=1\n"


def test_the_list_of_topics(broker, topic):
    listed = json.loads(kcat(broker, "-L", "-J", "-t", topic))
    assert [broker["id"] for broker in listed["brokers"]] == [1]
    assert len(listed["topics"][0]["partitions"]) == 3


def test_offsets_by_time(broker, topic):
    kcat(broker, "-P", "-t", topic, "-p", "0", given="a\nb\n")
    assert kcat(broker, "-Q", "-t", f"{topic}:0:-1").strip() == f"{topic} [0] offset 2"
    assert kcat(broker, "-Q", "-t", f"{topic}:0:-2").strip() == f"{topic} [0] offset 0"
