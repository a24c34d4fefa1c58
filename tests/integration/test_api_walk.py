"""docs/api.md is true: every command of it is run, and every answer of it is the real one.

`TIREFIT_WRITE_EXAMPLES=1` writes the answers anew, after a change of the API.
"""

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tirefit import tokens

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
PAIR = re.compile(r"```sh\n(curl .+?)\n```\n\n```json\n(.*?)```", re.DOTALL)
BASE = "http://127.0.0.1:5000"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_command_answers_what_the_page_says(client, station, olga):
    known = {"$TOKEN": tokens.add_token(olga.email)}
    text = PAGE.read_text()
    pairs = PAIR.findall(text)
    assert len(pairs) == text.count("curl ") > 8
    for command, said in pairs:
        answer = run(client, command, known)
        if answer.get("expires_at"):
            known["$HOLD"] = answer["token"]
        shown = json.dumps(cut(answer, known), ensure_ascii=False, indent=2) + "\n"
        if os.environ.get("TIREFIT_WRITE_EXAMPLES"):
            text = text.replace(f"{command}\n```\n\n```json\n{said}```", f"{command}\n```\n\n```json\n{shown}```")
        else:
            assert shown == said, command
    if os.environ.get("TIREFIT_WRITE_EXAMPLES"):
        PAGE.write_text(text)


def run(client, command: str, known: dict[str, str]) -> Any:
    """What curl would do with these arguments."""
    for name, value in known.items():
        command = command.replace(name, value)
    method, headers, body, url = "GET", {}, None, ""
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        else:
            url = word
    assert url.startswith(BASE)
    answer = client.open(url.removeprefix(BASE), method=method, headers=headers, data=body)
    assert "$" not in command and answer.status_code != 404, command
    return answer.json


def cut(value: Any, known: dict[str, str]) -> Any:
    """Lists after three; what differs each time becomes what it stands for."""
    if isinstance(value, dict):
        return {name: "…" if name in ("number", "fingerprint") else cut(inner, known) for name, inner in value.items()}
    if isinstance(value, list):
        return [cut(inner, known) for inner in value[:3]] + (["…"] if len(value) > 3 else [])
    for name, secret in known.items():
        if isinstance(value, str):
            value = value.replace(secret, name)
    return value
