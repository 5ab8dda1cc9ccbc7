"""An adapter's end of the pipe to tests/compat/clients: a verb a line comes in, its answer goes out."""

import json
import sys
import time

READ_SECONDS = 20


class Absent(Exception):
    """The library has no such thing."""


def serve(verbs):
    """Answers calls by the methods of this object until the pipe is closed."""
    for line in sys.stdin:
        print(json.dumps(reply(verbs, json.loads(line))), flush=True)


def reply(verbs, call):
    verb = getattr(verbs, call.pop("verb"), None)
    if verb is None:
        return {"absent": "the library has no such call"}
    try:
        return {"answer": verb(**call)}
    except Absent as why:
        return {"absent": str(why)}
    except Exception as refusal:
        return {"error": f"{type(refusal).__name__}: {refusal}"}


def gather(count, poll):
    """So many records from polls, or those that came in time."""
    found, deadline = [], time.monotonic() + READ_SECONDS
    while len(found) < count and time.monotonic() < deadline:
        found += poll()
    return found[:count]


def told(partition, offset, key, value, headers, timestamp):
    """A record as the pipe tells it, of the bytes that a library gives."""
    return {"partition": partition, "offset": offset, "key": text(key), "value": text(value), "timestamp": timestamp,
            "headers": [[name, text(it)] for name, it in headers or []]}


def text(data):
    return None if data is None else data.decode()


def data(text):
    return None if text is None else text.encode()
