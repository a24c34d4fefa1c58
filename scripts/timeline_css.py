"""Write static/timeline.css: where things stand on the board and in the preview, as classes.

The content security policy forbids style attributes, so a position in time is a class: minutes in steps of five.
A day of 25 hours (the autumn clock change) fits. `python scripts/timeline_css.py` after a change; a test compares.
"""

from pathlib import Path

STEP = 5
DAY = 25 * 60
POSTS = 40
TARGET = Path(__file__).resolve().parent.parent / "static" / "timeline.css"


def timeline_css() -> str:
    groups = [
        ("t", "minutes from the top", range(0, DAY + 1, STEP)),
        ("d", "length in minutes", range(STEP, DAY + 1, STEP)),
        ("o", "minutes over the planned end", range(STEP, 8 * 60 + 1, STEP)),
        ("m", "height in minutes", range(60, DAY + 1, 30)),
    ]
    lines = ["/* Positions in time, made by scripts/timeline_css.py. */", "@layer pages {"]
    for name, meaning, values in groups:
        variable = "mins" if name == "m" else name
        lines.append(f"  /* {meaning} */")
        lines += _wrapped(f".{name}{value}{{--{variable}:{value}}}" for value in values)
    lines.append("  /* columns */")
    lines += _wrapped(f".p{count}{{--posts:{count}}}" for count in range(1, POSTS + 1))
    return "\n".join([*lines, "}", ""])


def _wrapped(rules, width=118):
    line = " "
    for rule in rules:
        if len(line) + len(rule) + 1 > width:
            yield line
            line = " "
        line += f" {rule}"
    yield line


if __name__ == "__main__":
    TARGET.write_text(timeline_css(), encoding="utf-8")
