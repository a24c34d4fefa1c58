#!/usr/bin/env python3
"""Mutation testing of schedule/ and booking/: cosmic-ray makes the mutants, the tests that pass by each line judge it.

    .venv/bin/pip install "cosmic-ray>=8.7,<9"       not among what tests need: nobody else asks for it
    python scripts/mutation.py trace                 which test runs which line, on SQLite: six minutes
    python scripts/mutation.py judge [FILE…]         goes on where it stopped; a file that has changed begins anew
    python scripts/mutation.py judge --seconds=90 …  gives each of those that survived so much longer
    python scripts/mutation.py survivors             who was not noticed

Several may judge at once: `--share=0/2` and `--share=1/2`. All is kept in instance/mutation/. Whether a survivor is a
mistake that the tests miss, or changes nothing that anybody could see, is for a reader to say (docs/mutation.md).

Each mutant is judged in a fork that has imported everything but the program, with the mutated module put in the
program's place as it is imported; the working tree is not touched. The tests that run its line are asked: first those
of tests/unit and the quickest of each file, then the others, as many as fit into the seconds.
"""

import ast
import hashlib
import importlib.machinery
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "instance" / "mutation"
RESULTS, TRACE, TIMES = KEPT / "results.jsonl", KEPT / "trace", KEPT / "times.xml"
JUDGED = ("tirefit/schedule", "tirefit/booking")
COMPARED = "Eq_NotEq NotEq_Eq Lt_LtE Lt_Gt LtE_Lt LtE_Gt Gt_GtE Gt_Lt GtE_Gt GtE_Lt Is_IsNot IsNot_Is"
COUNTED = "Add_Sub Sub_Add Mul_FloorDiv FloorDiv_Mul Mod_FloorDiv BitAnd_BitOr"
# Numbers are left out: most are defaults that are always given, sizes of caches and limits of taste.
PLAIN = """
    AddNot ExceptionReplacer RemoveDecorator ZeroIterationForLoop ReplaceAndWithOr ReplaceOrWithAnd
    ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceBreakWithContinue ReplaceContinueWithBreak
    ReplaceUnaryOperator_Delete_Not ReplaceUnaryOperator_USub_UAdd
"""
KINDS = [
    *PLAIN.split(),
    *(f"ReplaceComparisonOperator_{each}" for each in COMPARED.split()),
    *(f"ReplaceBinaryOperator_{each}" for each in COUNTED.split()),
]
A_QUICK_LOOK = 14  # tests before all others: most mutants are noticed there


def main(what: str = "", *words: str) -> int:
    options = dict(word[2:].split("=") for word in words if word.startswith("--"))
    files = [word for word in words if not word.startswith("--")]
    if what == "trace":
        return trace()
    if what == "judge":
        share, of = map(int, options.get("share", "0/1").split("/"))
        judge_all(files or every_file(), share, of, float(options.get("seconds", 25)))
        return 0
    if what == "survivors":
        return tell_survivors()
    print(__doc__)
    return 2


def every_file() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for folder in JUDGED for path in (ROOT / folder).rglob("*.py"))


def trace() -> int:
    KEPT.mkdir(parents=True, exist_ok=True)
    coverage = [f"--cov={folder}" for folder in JUDGED] + ["--cov-context=test", "--cov-report="]
    tests = ["-k", "not postgresql", f"--junitxml={TIMES}", "tests/unit", "tests/integration"]
    command = [sys.executable, "-m", "pytest", "-n", "3", "--dist", "worksteal", "-q", *coverage, *tests]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"COVERAGE_FILE": str(TRACE)}, check=False).returncode


def judge_all(files: list[str], share: int, of: int, seconds: float) -> None:
    import alembic.command  # noqa: F401 (what a fork need not import again)
    import coverage
    import flask_babel  # noqa: F401
    import flask_migrate  # noqa: F401
    import flask_smorest  # noqa: F401
    import psycopg  # noqa: F401
    import rq  # noqa: F401
    import sqlalchemy.orm  # noqa: F401

    data = coverage.CoverageData(str(TRACE))
    data.read()
    witnesses = Witnesses(data)
    judged = {key_of(each): each for each in results()}
    number = 0
    for file in files:
        path = ROOT / file
        print(
            f"{file}: as it is, {judge(path, path.read_text(), witnesses.of_file(path, seconds), seconds)}", flush=True
        )
        for mutant, code in mutants(path, file):
            number += 1
            before = judged.get(key_of(mutant))
            longer = before and before["outcome"] == "survived" and before["seconds"] < seconds
            if number % of != share or (before and not longer):
                continue
            tests = witnesses.of_line(path, mutant["line"], seconds)
            mutant |= {"seconds": seconds, "tests": len(tests)}
            mutant["outcome"] = judge(path, code, tests, seconds) if tests else "no test runs it"
            with RESULTS.open("a") as out:
                out.write(json.dumps(mutant, ensure_ascii=False) + "\n")
            print(f"{file}:{mutant['line']} {mutant['kind']}: {mutant['outcome']}", flush=True)


def mutants(path: Path, file: str) -> Iterator[tuple[dict[str, Any], str]]:
    from cosmic_ray.ast import get_ast
    from cosmic_ray.mutating import MutationVisitor
    from cosmic_ray.operators.provider import OperatorProvider

    source, provider = path.read_text(), OperatorProvider()
    seen, digest = {source}, hashlib.sha256(source.encode()).hexdigest()[:10]
    for kind in KINDS:
        for n in range(10_000):
            visitor = MutationVisitor(n, provider[kind]())
            tree = visitor.walk(get_ast(source))
            if not visitor.mutation_applied:
                break
            code = tree.get_code()
            if code in seen:
                continue
            seen.add(code)
            was, now = source.splitlines(), code.splitlines()
            line = next((k for k, pair in enumerate(zip(was, now, strict=False)) if pair[0] != pair[1]), len(now) - 1)
            about = {"file": file, "digest": digest, "kind": kind, "n": n, "line": line + 1}
            yield about | {"was": was[line].strip(), "now": now[line].strip()}, code


@cache
def _bodies(path: Path) -> dict[int, list[int]]:
    """Of each decorated function: the line of `def`, or of a decorator → the lines of its statements."""
    return {
        line: [statement.lineno for statement in node.body]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for line in (node.lineno, *(each.lineno for each in node.decorator_list))
        if node.decorator_list
    }


class Witnesses:
    """Which tests run which line, and how long each takes."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._seconds = {
            f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}": float(case.get("time", 0))
            for case in ET.parse(TIMES).iter("testcase")
        }

    def of_line(self, path: Path, line: int, seconds: float) -> list[str]:
        """Of a statement over several lines, its first counts; of a function without its decorator, what it does; of
        what runs at import, whoever runs the module."""
        contexts = self._data.contexts_by_lineno(str(path))
        statements = _bodies(path).get(line) or range(line, max(0, line - 8), -1)
        for near in statements:
            if found := self._named(contexts.get(near, [])):
                return self._chosen(found, seconds)
        return self.of_file(path, seconds)

    def of_file(self, path: Path, seconds: float) -> list[str]:
        contexts = self._data.contexts_by_lineno(str(path))
        return self._chosen({test for line in contexts.values() for test in self._named(line)}, seconds)

    def _named(self, contexts: list[str]) -> set[str]:
        return {each.partition("|")[0] for each in contexts} & self._seconds.keys()

    def _chosen(self, tests: set[str], seconds: float) -> list[str]:
        units = [test for test in tests if test.startswith("tests/unit")]
        first, others, functions = [], [], set()
        for test in sorted(tests - set(units), key=self._seconds.__getitem__):
            function = test.partition("[")[0]
            (others if function in functions else first).append(test)
            functions.add(function)
        chosen, spent = [], 0.0
        for test in units + first + others:
            if not chosen or spent + self._seconds[test] <= seconds:
                chosen.append(test)
                spent += self._seconds[test]
        return chosen


def judge(path: Path, code: str, tests: list[str], seconds: float) -> str:
    for part in (tests[:A_QUICK_LOOK], tests[A_QUICK_LOOK:]):
        if part and (verdict := _judge(path, code, part, 60 + 10 * seconds)) != "survived":
            return verdict
    return "survived"


def _judge(path: Path, code: str, tests: list[str], patience: float) -> str:
    pid = os.fork()
    if pid == 0:
        try:
            _run(path, code, tests)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    until = time.monotonic() + patience
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return "killed" if os.waitstatus_to_exitcode(status) else "survived"
        time.sleep(0.03)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "took too long"


def _run(path: Path, code: str, tests: list[str]) -> None:
    os.setpgid(0, 0)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    log = os.open(KEPT / f"{os.getppid()}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    usual = importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, name: str) -> Any:
        if Path(self.path) == path:
            return compile(code, str(path), "exec", dont_inherit=True)
        return usual(self, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
    import pytest

    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--tb=line", *tests])))


def results() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def key_of(mutant: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(mutant[name] for name in ("file", "digest", "kind", "n"))


def tell_survivors() -> int:
    current = {file: hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:10] for file in every_file()}
    newest = {key_of(each): each for each in results() if current.get(each["file"]) == each["digest"]}
    left = [each for each in newest.values() if each["outcome"] not in ("killed", "took too long")]
    for each in left:
        print(f"{each['file']}:{each['line']} ({each['outcome']}, {each['tests']} tests)")
        print(f"  - {each['was']}\n  + {each['now']}")
    print(f"{len(newest)} judged, {len(left)} not noticed")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
