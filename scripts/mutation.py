#!/usr/bin/env python3
"""Mutation testing of schedule/ and booking/: cosmic-ray makes the mutants, the tests that pass by each line judge it.

    .venv/bin/pip install "cosmic-ray>=8.7,<9"       not among what tests need: nobody else asks for it
    python scripts/mutation.py trace                 which test runs which line, on SQLite: six minutes
    python scripts/mutation.py judge [FILE…]         goes on where it stopped; a file that has changed begins anew
    python scripts/mutation.py judge --seconds=90 …  gives each of those that survived so much longer
    python scripts/mutation.py judge --postgresql …  asks the same tests on PostgreSQL about those that survived
    python scripts/mutation.py survivors             who was not noticed

Several may judge at once: `--share=0/2` and `--share=1/2`. All is kept in instance/mutation/. Whether a survivor is a
mistake that the tests miss, or changes nothing that anybody could see, is for a reader to say (docs/mutation.md).

Each mutant is judged in a fork; the working tree is not touched. Where only the body of a function differs, the fork
has the program and its tests in memory, and the function is given its mutated code. All others come first, for they
are put in the module's place as it is imported: into a fork that has imported everything but the program. The tests
that run the mutant's line are asked: first those of tests/unit, then those of files that name its function, then the
others, as many as fit into the seconds.
"""

import ast
import functools
import gc
import hashlib
import importlib.machinery
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
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
NOT_PLANTED = 99  # exit code


def main(what: str = "", *words: str) -> int:
    options = {word[2:].partition("=")[0]: word.partition("=")[2] for word in words if word.startswith("--")}
    files = [word for word in words if not word.startswith("--")]
    if what == "trace":
        return trace()
    if what == "judge":
        share, of = map(int, options.get("share", "0/1").split("/"))
        judge_all(files or every_file(), share, of, float(options.get("seconds", 25)), "postgresql" in options)
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


def judge_all(files: list[str], share: int, of: int, seconds: float, on_postgresql: bool) -> None:
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
    at_import, in_memory = [], []
    for file in files:
        for mutant, code in mutants(ROOT / file, file):
            before = judged.get(key_of(mutant), {"outcome": "survived", "seconds": 0})
            was_asked = before.get("postgresql", False) if on_postgresql else before["seconds"] >= seconds
            if before["outcome"] == "survived" and not was_asked:
                differ = functions_that_differ(ROOT / file, code)
                is_late = differ and not witnesses.ran_at_import(ROOT / file, differ.values())
                (in_memory if is_late else at_import).append((mutant, code))
    for begin, those in ((lambda: None, at_import), (lambda: warm_up(files, witnesses), in_memory)):
        if mine := those[share::of]:
            begin()
        for mutant, code in mine:
            path = ROOT / mutant["file"]
            tests = witnesses.of_line(path, mutant["line"], seconds)
            if on_postgresql:
                tests = [re.sub(r"\bsqlite\b", "postgresql", test) for test in tests if re.search(r"\[sqlite\b", test)]
            mutant |= {"seconds": seconds, "tests": len(tests), "postgresql": on_postgresql}
            mutant["outcome"] = judge(path, code, tests, seconds) if tests else "no test runs it"
            with RESULTS.open("a") as out:
                out.write(json.dumps(mutant, ensure_ascii=False) + "\n")
            print(f"{mutant['file']}:{mutant['line']} {mutant['kind']}: {mutant['outcome']}", flush=True)


def warm_up(files: list[str], witnesses: "Witnesses") -> None:
    """Have the program and the tests in memory; what it remembers of its answers is forgotten."""
    import pytest

    sys.path.insert(0, str(ROOT))
    tests = {test: None for file in files for test in witnesses.of_file(ROOT / file, 5)[:A_QUICK_LOOK]}
    with_fixtures = pytest.main(["-q", "-p", "no:cacheprovider", *tests])
    assert with_fixtures == 0, "the tests complain of the program as it is"
    for each in gc.get_objects():
        if isinstance(each, functools._lru_cache_wrapper) and each.__module__.startswith("tirefit"):
            each.cache_clear()
    from tests import factories

    factories._rows_made.clear()  # stations as the program makes them when it is whole


def functions_that_differ(path: Path, code: str) -> dict[tuple[str, int], CodeType] | None:
    """(name, line) → its mutated code; None if anything else differs, so that the module must be imported anew."""
    was, now = (compile(text, str(path), "exec", dont_inherit=True) for text in (path.read_text(), code))
    found: dict[tuple[str, int], CodeType] = {}
    return found if _differ_in_functions(was, now, found) else None


def _differ_in_functions(was: CodeType, now: CodeType, found: dict[tuple[str, int], CodeType]) -> bool:
    if was == now:
        return True
    is_function = bool(was.co_flags & inspect.CO_OPTIMIZED)
    if is_function and was.co_name == now.co_name and was.co_freevars == now.co_freevars:
        found[was.co_qualname, was.co_firstlineno] = now
        return True
    if is_function or was.co_code != now.co_code or len(was.co_consts) != len(now.co_consts):
        return False
    return all(
        _differ_in_functions(*pair, found)
        if isinstance(pair[0], CodeType) and isinstance(pair[1], CodeType)
        # a constant that equals another is not always the same: 1 and True
        else (type(pair[0]), pair[0]) == (type(pair[1]), pair[1])
        for pair in zip(was.co_consts, now.co_consts, strict=True)
    )


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
            if code in seen or not _is_python(code):
                continue
            seen.add(code)
            was, now = source.splitlines(), code.splitlines()
            line = next((k for k, pair in enumerate(zip(was, now, strict=False)) if pair[0] != pair[1]), len(now) - 1)
            about = {"file": file, "digest": digest, "kind": kind, "n": n, "line": line + 1}
            yield about | {"was": was[line].strip(), "now": now[line].strip()}, code


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:  # `/` in a signature for `*`, with nothing before it
        return False
    return True


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


@cache
def _users(path: Path, line: int) -> dict[int, str]:
    """Of a line in what the module makes as it is imported: line → function, of those that use it, by whatever name."""
    top = ast.parse(path.read_text()).body
    made = [each for each in top if isinstance(each, ast.Assign | ast.AnnAssign)]
    about = [each for each in made if each.lineno <= line <= (each.end_lineno or 0)]
    names: set[str] = set()
    while about:
        names |= {name for each in about for name in _names_in(each, ast.Store)}
        about = [each for each in made if _names_in(each) & names and not _names_in(each, ast.Store) <= names]
    functions = [each for each in top if isinstance(each, ast.FunctionDef | ast.ClassDef)]
    return {
        each.lineno: function.name
        for function in functions
        for each in ast.walk(function)
        if isinstance(each, ast.stmt) and _names_in(each) & names
    }


@cache
def _functions_at(path: Path, line: int) -> set[str]:
    nodes = (each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.FunctionDef | ast.ClassDef))
    begins = ((min([each.lineno, *(mark.lineno for mark in each.decorator_list)]), each) for each in nodes)
    return {each.name for begin, each in begins if begin <= line <= (each.end_lineno or 0)}


@cache
def _text(file: str) -> str:
    return (ROOT / file).read_text()


def _names_in(node: ast.AST, as_what: type[ast.expr_context] = ast.Load) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, as_what)}


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
        what is made at import, whoever uses it; of all else, whoever runs the module."""
        contexts = self._data.contexts_by_lineno(str(path))
        users = _users(path, line)
        names = {path.stem} | _functions_at(path, line) | set(users.values())
        if found := {test for each in users for test in self._named(contexts.get(each, []))}:
            return self._chosen(found, seconds, names)
        statements = _bodies(path).get(line) or range(line, max(0, line - 8), -1)
        for near in statements:
            if found := self._named(contexts.get(near, [])):
                return self._chosen(found, seconds, names)
        return self.of_file(path, seconds, names)

    def of_file(self, path: Path, seconds: float, names: Collection[str] = ()) -> list[str]:
        contexts = self._data.contexts_by_lineno(str(path))
        return self._chosen({test for line in contexts.values() for test in self._named(line)}, seconds, names)

    def ran_at_import(self, path: Path, functions: Iterable[CodeType]) -> bool:
        """Were they called before any test, so that what they made would stay as it is?"""
        contexts = self._data.contexts_by_lineno(str(path))
        inside = {line for code in functions for *_, line in code.co_lines() if line and line > code.co_firstlineno}
        return any("" in contexts.get(line, []) for line in inside)

    def _named(self, contexts: list[str]) -> set[str]:
        return {each.partition("|")[0] for each in contexts} & self._seconds.keys()

    def _chosen(self, tests: set[str], seconds: float, names: Collection[str]) -> list[str]:
        """First those of tests/unit, then those of files that name one of these functions; of each test of theirs first
        the quickest case; as many as fit into the seconds."""
        cases: Counter[str] = Counter()
        ranks = {}
        for test in sorted(tests, key=self._seconds.__getitem__):
            file, function = test.partition("::")[0], test.partition("[")[0]
            cases[function] += 1
            is_near = any(each in file or f"{each}(" in _text(file) for each in names)
            ranks[test] = not file.startswith("tests/unit"), not is_near, cases[function] > 1, self._seconds[test]
        chosen, spent = [], 0.0
        for test in sorted(ranks, key=ranks.__getitem__):
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
            return {0: "survived", NOT_PLANTED: "not planted"}.get(os.waitstatus_to_exitcode(status), "killed")
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
    differ = functions_that_differ(path, code) if "tirefit" in sys.modules else None
    if differ is None:
        _import_as(path, code)
    elif not _plant(path, differ):
        os._exit(NOT_PLANTED)
    import pytest

    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--tb=line", *tests])))


def _plant(path: Path, differ: dict[tuple[str, int], CodeType]) -> bool:
    """Give the functions their mutated code, wherever they have got to; → whether there was one."""
    functions = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
    planted = False
    for each in functions:
        code = each.__code__
        if Path(code.co_filename) == path and (new := differ.get((code.co_qualname, code.co_firstlineno))):
            each.__code__, planted = new, True
    return planted


def _import_as(path: Path, code: str) -> None:
    usual = importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, name: str) -> Any:
        if Path(self.path) == path:
            return compile(code, str(path), "exec", dont_inherit=True)
        return usual(self, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]


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
