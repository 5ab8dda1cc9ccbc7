"""docs/clients.md: which client was seen to do what, as the run found it; and docs/clients-kafka.md, the same of Kafka."""

from features import FEATURES

PASSED, FAILED, ABSENT = "✓", "✗", "–"

HEAD = """# Clients

What every client library did against a real broker, written by `tests/compat/run` and by nobody else; the run fails when
this page is not what it found. ✓ passed, ✗ failed, – the client has no such thing. What each row asks is in
[tests/compat/clients/features.py](../tests/compat/clients/features.py); how a client is asked, in its folder of
[tests/compat](../tests/compat). The same clients were asked the same with [Apache Kafka](clients-kafka.md).
"""

HEAD_OF_KAFKA = """# Clients with Apache Kafka

What [clients.md](clients.md) asks, asked of Apache Kafka 4.3.1: written by `tests/compat/run --kafka`, which fails when
something passes that does not pass with Millstream.
"""


def render(columns, head=HEAD):
    """Columns: name, version and the outcomes by title, each a mark and a word."""
    lines = [head]
    lines += table(["", *(f"{name} {version}".strip() for name, version, _ in columns)],
                   [[title, *(outcomes[title][0] for _, _, outcomes in columns)] for title, _ in FEATURES])
    for mark, heading in ((FAILED, "What failed"), (ABSENT, "What clients do not have")):
        notes = [f"- {name} {version}, {title}: {word}" for name, version, outcomes in columns
                 for title, (found, word) in outcomes.items() if found == mark]
        if notes:
            lines += ["", f"## {heading}", "", *notes]
    return "\n".join(lines) + "\n"


def table(head, rows):
    return [line(head), line(["---", *([":-:"] * (len(head) - 1))]), *map(line, rows)]


def line(cells):
    return f"| {' | '.join(cells)} |"
