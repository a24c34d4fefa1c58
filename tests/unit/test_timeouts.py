"""Whoever is asked outside this process may never answer: every such question says how long it waits."""

import ast
from collections.abc import Iterator

import pytest
import rq
from redis import Redis

from tirefit import jobs
from tirefit.config import ROOT

# What asks, and the word that says how long it waits for the answer (or the argument's place).
ASKING = {
    "Redis": "socket_timeout",
    "Redis.from_url": "socket_timeout",
    "smtplib.SMTP": "timeout",
    "smtplib.SMTP_SSL": "timeout",
    "http.client.HTTPConnection": "timeout",
    "http.client.HTTPSConnection": "timeout",
    "urllib.request.urlopen": "timeout",
    "socket.create_connection": 1,
    "dns.resolver.resolve": "lifetime",
    "subprocess.run": "timeout",
    "subprocess.check_output": "timeout",
}
MAY_WAIT = {"backup.py: subprocess.run"}  # pg_dump takes as long as the data are large, and whoever asked sees it
FILES = [ROOT / "app.py", *sorted((ROOT / "tirefit").rglob("*.py"))]


def test_every_question_to_somebody_outside_says_how_long_it_waits():
    calls = [(path.name, *call) for path in FILES for call in asking(path.read_text())]
    assert len(calls) >= 10
    assert {f"{name}: {what}" for name, what, says in calls if not says} == MAY_WAIT


@pytest.mark.parametrize(
    "endless",
    [
        "Redis.from_url(url)",
        "Redis.from_url(url, **OPTIONS)",
        "smtplib.SMTP(host, 25)",
        "urllib.request.urlopen(url)",
        "socket.create_connection(address)",
        "class Ours(smtplib.SMTP): pass\nOurs(host)",
        "class Ours(http.client.HTTPConnection):\n def __init__(self): super().__init__(host)",
    ],
)
def test_a_question_that_waits_for_ever_is_seen(endless):
    assert [says for _, says in asking(endless)] == [False]


def test_a_worker_waits_for_work_for_a_shorter_time_than_for_an_answer():
    """Or else a quiet night would look to it like a Redis that hangs."""
    redis = Redis.from_url("unix:///nobody", **jobs.PATIENT)
    worker = rq.Worker([], connection=redis, worker_ttl=jobs.WORKER_TTL, prepare_for_work=False)
    assert worker.dequeue_timeout < jobs.PATIENT["socket_timeout"]
    assert redis.connection_pool.connection_kwargs["socket_timeout"] == jobs.PATIENT["socket_timeout"]


def asking(source: str) -> Iterator[tuple[str, bool]]:
    """What is asked in a file, and whether it is said how long. Classes made of the above ask too."""
    if not any(what.rpartition(".")[0] in source for what in ASKING):
        return
    words = dict(ASKING)
    for made in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)):
        inherited = [words[base] for base in map(ast.unparse, made.bases) if base in words]
        if inherited:
            begins = list(calls_of(made, {"super().__init__": inherited[0]}))
            yield from begins
            words |= {} if begins else {made.name: inherited[0]}  # whoever makes one says it, or it itself
    yield from calls_of(ast.parse(source), words)


def calls_of(tree: ast.AST, words: dict[str, str | int]) -> Iterator[tuple[str, bool]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            what = ast.unparse(node.func)
            if what in words:
                yield what, says(node, words[what])


def says(call: ast.Call, word: str | int) -> bool:
    if isinstance(word, int):
        return len(call.args) > word
    return any(
        each.arg == word or (each.arg is None and word in options(ast.unparse(each.value))) for each in call.keywords
    )


def options(name: str) -> set[str]:
    """The words in `**name`: a dictionary that is written down by that name somewhere in the program."""
    words = set[str]()
    for path in FILES:
        if f"{name}: dict" in (source := path.read_text()):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
                    assert isinstance(node.value, ast.Dict)
                    words |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    return words
