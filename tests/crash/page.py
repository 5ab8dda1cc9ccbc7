"""docs/crashes.md: what the long searches of the real process found. Each run writes its own section."""

import os
import subprocess
import time

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "crashes.md")
INTRODUCTION = """# What the real process survives

Each section is written by the run that it tells of: the broker as a process of its own, under the load of librdkafka's
producers, idempotent ones and others; every record that was acknowledged is read again and compared. What the search on
simulated machines found is in [reliability.md](reliability.md).
"""


def write(title, command, lines, path=PAGE):
    """Writes a section, in place of the one of this title."""
    sections = read(path)
    rows = "".join(f"| {name} | {count} |\n" for name, count in lines)
    sections[title] = f"`{command}`, commit {commit()}, {time.strftime('%-d %B %Y')}.\n\n| | |\n|---|---:|\n{rows}"
    text = "".join(f"\n## {title}\n\n{section}" for title, section in sorted(sections.items()))
    with open(path, "w") as page:
        page.write(INTRODUCTION + text)


def read(path):
    try:
        with open(path) as page:
            text = page.read()
    except FileNotFoundError:
        return {}
    return dict(part.split("\n\n", 1) for part in text.split("\n## ")[1:])


def commit():
    def ask(*words):
        return subprocess.run(["git", *words], capture_output=True, text=True, cwd=os.path.dirname(PAGE)).stdout.strip()

    changes = " with changes" if ask("status", "--porcelain", "--untracked-files=no") else ""
    return (ask("rev-parse", "--short", "HEAD") or "unknown") + changes
