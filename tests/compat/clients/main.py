"""Every client against every feature: tests/compat/run starts this. Ends with 0 when all cells are as they should be."""

import argparse
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/compat/librdkafka"))

from adapter import Absent, Failed  # noqa: E402
from clients import CLIENTS  # noqa: E402
from features import FEATURES  # noqa: E402
from page import ABSENT, FAILED, HEAD, HEAD_OF_KAFKA, PASSED, render  # noqa: E402
from rig import rig  # noqa: E402

# By whether it is Kafka that was asked.
PAGES = {False: (ROOT / "docs/clients.md", HEAD), True: (ROOT / "docs/clients-kafka.md", HEAD_OF_KAFKA)}
# Clients mostly wait.
AT_ONCE = 4


def main():
    asked = arguments()
    clients = [it for it in CLIENTS if asked.client in (None, it.name)]
    features = [it for it in FEATURES if asked.feature in it[0]]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        columns = list(pool.map(lambda client: column(client, features, asked.kafka), clients))
    wrong = [complaint for client, (_, _, outcomes) in zip(clients, columns) for complaint in judge(client, outcomes, asked.kafka)]
    is_whole = len(clients) == len(CLIENTS) and len(features) == len(FEATURES)
    if is_whole and not wrong:
        path, head = PAGES[asked.kafka]
        wrong += written(path, render(columns, head))
    print("\n".join(wrong) or "every cell is as it should be")
    return bool(wrong)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", help="only this one")
    parser.add_argument("--feature", default="", help="only those with this in their title")
    parser.add_argument("--kafka", action="store_true", help="against Apache Kafka instead")
    return parser.parse_args()


def column(client, features, is_kafka):
    """The client's name and version, and its outcomes: a mark and a word for each title."""
    with rig(client.command, is_kafka) as place:
        version = place.client.version()
        outcomes = {title: outcome(place, client, title, scenario) for title, scenario in features}
    return client.name, version, outcomes


def outcome(place, client, title, scenario):
    started = time.monotonic()
    try:
        scenario(place)
        mark, word = PASSED, ""
    except Absent as why:
        mark, word = ABSENT, str(why)
    except (AssertionError, Failed) as why:
        mark, word = FAILED, str(why)
    except Exception:
        mark, word = FAILED, traceback.format_exc()
    print(f"{mark} {client.name}: {title} ({time.monotonic() - started:.1f} s) {word}", flush=True)
    return mark, client.known.get(title, word) if mark == FAILED else word


def judge(client, outcomes, is_kafka):
    for title, (mark, _) in outcomes.items():
        if is_kafka:
            # What fails with Kafka need not fail here.
            if mark == PASSED and title in client.known:
                yield f"{client.name}: {title}: passes with Kafka, and is listed as failed in clients.py"
            continue
        if mark == FAILED and title not in client.known:
            yield f"{client.name}: {title}: failed"
        if mark != FAILED and title in client.known:
            yield f"{client.name}: {title}: does not fail any more; it is listed as known in clients.py"


def written(path, page):
    """Writes the page; complains when it was another."""
    if path.exists() and path.read_text() == page:
        return []
    path.write_text(page)
    return [f"{path.relative_to(ROOT)} was not what this run found; it is written anew"]


sys.exit(main())
