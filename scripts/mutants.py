"""Mutation run: changes one place of the code at a time and sees whether a test notices.

    python scripts/mutants.py [--areas reading,queue] [--count 200] [--seed 1] [--workers 2]
                              [--report FILE] [--only TEXT]

The places are drawn by a seed from reading, layers, update, download and queue: comparisons,
conditions, numbers, guards that raise, calls whose result nobody takes. Each change is made in a
copy of the checkout; the tests that run the line are tried first, then those of the area that start
processes. A change that no test notices is a survivor. Those that change nothing that matters stand
with their reason in `mutants_accepted.json`; the score leaves them out.

The compiled code of `aggtrades/compiled` is not changed here: each change would be compiled anew,
and `bench_fuzz_aggtrades.py` holds it against a plain reader.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import copy
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import coverage

PROJECT = Path(__file__).resolve().parent.parent
ACCEPTED = PROJECT / "scripts" / "mutants_accepted.json"
MOST_TESTS = 80  # of those that run a line; the fastest areas have hundreds
TIMEOUT = 420  # seconds for the tests of one change: endless loops count as noticed


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the code, and the tests that hold it."""

    code: tuple[str, ...]  # globs below the checkout
    tests: tuple[str, ...]


AREAS = {
    "reading": Area(
        ("pipeline/reading/*.py", "pipeline/reading/aggtrades/*.py"), ("tests/pipeline/reading",)
    ),
    "layers": Area(
        ("pipeline/storage/*.py", "pipeline/tables/*.py"),
        ("tests/pipeline/storage", "tests/pipeline/tables", "tests/data_collection/build"),
    ),
    "update": Area(
        ("data_collection/build/update/*.py", "data_collection/build/stages/*.py"),
        ("tests/data_collection/build",),
    ),
    "download": Area(
        (
            "data_collection/archive/*.py",
            "data_collection/archive/objects/*.py",
            "data_collection/archive/transport/*.py",
        ),
        ("tests/data_collection/archive",),
    ),
    "queue": Area(("data_collection/queue/*.py",), ("tests/data_collection/queue",)),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: `before` at this place of the file becomes `after`."""

    area: str
    file: str
    line: int
    start: int  # characters of the file
    end: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """For people, and the key of what is accepted: it outlives moved lines."""
        return f"{self.file}: {self.before!r} -> {self.after!r}"


_COMPARES = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,  # codespell:ignore notin
    ast.NotIn: ast.In,  # codespell:ignore notin
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_SUMS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv}


def changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """The changes of one node of the tree: what is replaced, and by what."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARES:
            other = copy.deepcopy(node)
            other.ops = [_COMPARES[type(op)]()]
            yield node, other
        case ast.BoolOp():
            other = copy.deepcopy(node)
            other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node, other
        case ast.UnaryOp(op=ast.Not()):
            yield node, node.operand
        case ast.BinOp(op=op) if type(op) in _SUMS:
            other = copy.deepcopy(node)
            other.op = _SUMS[type(op)]()
            yield node, other
        case ast.If(test=test, body=[ast.Raise() | ast.Return() | ast.Continue() | ast.Break()]):
            yield test, ast.Constant(value=False)
        case ast.Expr(value=ast.Call()):
            yield node, ast.Pass()
        case ast.Constant(value=int(value)) if type(node.value) is int and value > 1:
            yield node, ast.Constant(value=value + 1)


def mutants_of(area: str, path: Path) -> Iterator[Mutant]:
    """Every change of a file; annotations, docstrings and type-checking imports are left alone."""
    text = path.read_text(encoding="utf-8")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    data = text.encode()
    for node in _code(ast.parse(text)):
        for old, new in changes(node):
            assert isinstance(old, ast.expr | ast.stmt)
            assert old.end_lineno is not None
            assert old.end_col_offset is not None
            start = starts[old.lineno - 1] + old.col_offset
            end = starts[old.end_lineno - 1] + old.end_col_offset
            after = ast.unparse(ast.fix_missing_locations(new))
            if isinstance(old, ast.expr):
                after = f"({after})"
            yield Mutant(
                area, path.relative_to(PROJECT).as_posix(), old.lineno, start, end,
                " ".join(data[start:end].decode().split()), after,
            )  # fmt: skip


def _code(node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "slice"}:
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.AST):
                yield each
                yield from _code(each)


def draw(areas: Sequence[str], count: int, seed: int, only: str) -> list[Mutant]:
    """As many changes of each area, drawn by the seed, no two of the same place."""
    chance, drawn = random.Random(seed), []
    for name in areas:
        found = {
            (mutant.file, mutant.start, mutant.after): mutant
            for glob in AREAS[name].code
            for path in sorted(PROJECT.glob(glob))
            for mutant in mutants_of(name, path)
            if only in mutant.name
        }
        everything = sorted(found.values(), key=lambda one: (one.file, one.start, one.after))
        drawn += chance.sample(everything, min(count // len(areas), len(everything)))
    return drawn


def copy_checkout(folder: Path) -> Path:
    """The checkout's files, as git knows them, in a folder of their own."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.exists():
            shutil.copy2(source, target)
    return folder


def run_tests(checkout: Path, arguments: Sequence[str], timeout: float | None = TIMEOUT) -> int:
    """Run pytest in the checkout; its exit code, 1 where it does not end in time (seconds)."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    with subprocess.Popen(
        command, cwd=checkout, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as child:  # fmt: skip
        try:
            return child.wait(timeout)
        except subprocess.TimeoutExpired:
            return 1
        finally:
            subprocess.run(["pkill", "-KILL", "-s", str(child.pid)], check=False)


Covering = Mapping[str, Mapping[int, Sequence[str]]]
"""File -> line -> the tests of this process that run it."""


def covering_tests(checkout: Path, area: Area) -> Covering:
    """Which test runs which line: the area's tests once, under coverage."""
    data = checkout / ".coverage"
    config = checkout / ".coveragerc"
    config.write_text("[run]\nsource = pipeline, data_collection\n")
    code = run_tests(
        checkout,
        [*area.tests, "-m", "not soak and not process and not slow", "-n", "0", "--cov",
         "--cov-config", str(config), "--cov-context=test", "--cov-report="],
        timeout=None,
    )  # fmt: skip
    if code:
        raise SystemExit(f"the tests of {', '.join(area.tests)} fail without any change")
    found = coverage.CoverageData(str(data))
    found.read()
    by_file: dict[str, dict[int, list[str]]] = {}
    for name in found.measured_files():
        lines: dict[int, list[str]] = defaultdict(list)
        for line, contexts in found.contexts_by_lineno(name).items():
            lines[line] = sorted({one.split("|")[0] for one in contexts if one})
        by_file[Path(name).resolve().relative_to(checkout.resolve()).as_posix()] = lines
    data.unlink()
    return by_file


def is_noticed(checkout: Path, mutant: Mutant, covering: Covering) -> bool:
    """Make the change, run the tests, take it back."""
    path = checkout / mutant.file
    whole = path.read_bytes()
    path.write_bytes(whole[: mutant.start] + mutant.after.encode() + whole[mutant.end :])
    try:
        tests = covering.get(mutant.file, {}).get(mutant.line, ())
        own = f"test_{Path(mutant.file).stem}"
        first = sorted(tests, key=lambda test: (own not in test, test))[:MOST_TESTS]
        if first and run_tests(checkout, [*first, "-x", "-n", "0"]):
            return True
        area = AREAS[mutant.area].tests
        left = "process or slow" if len(tests) <= MOST_TESTS else "not soak"
        return run_tests(checkout, [*area, "-x", "-n", "0", "-m", f"not soak and ({left})"]) == 1
    finally:
        path.write_bytes(whole)


def accepted() -> dict[str, str]:
    """Changes that change nothing that matters, and why."""
    return dict(json.loads(ACCEPTED.read_text(encoding="utf-8"))) if ACCEPTED.exists() else {}


def main() -> int:
    """Draw, change, test; print each survivor and the score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--areas", default=",".join(AREAS))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="changes whose name holds this text")
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    areas = asked.areas.split(",")
    known = accepted()
    drawn = draw(areas, asked.count, asked.seed, asked.only)
    left_out = [one for one in drawn if one.name in known]
    drawn = [one for one in drawn if one.name not in known]
    print(f"{len(drawn)} changes, {len(left_out)} more accepted before", flush=True)
    survivors, tried = [], Counter[str]()
    with tempfile.TemporaryDirectory(prefix="alphaqcm-mutants-") as folder:
        free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(asked.workers):
            free.put(copy_checkout(Path(folder) / str(number)))
        covering = {name: _cover(free, AREAS[name]) for name in areas}

        def noticed(mutant: Mutant) -> bool:
            checkout = free.get()
            try:
                return is_noticed(checkout, mutant, covering[mutant.area])
            finally:
                free.put(checkout)

        with concurrent.futures.ThreadPoolExecutor(asked.workers) as pool:
            for mutant, seen in zip(drawn, pool.map(noticed, drawn), strict=True):
                tried[mutant.area] += 1
                if not seen:
                    survivors.append(mutant)
                    print(f"survived: {mutant.file}:{mutant.line} {mutant.before!r} -> "
                          f"{mutant.after!r}", flush=True)  # fmt: skip
    return _tell(tried, survivors, asked.report)


def _cover(free: queue.SimpleQueue[Path], area: Area) -> Covering:
    checkout = free.get()
    try:
        return covering_tests(checkout, area)
    finally:
        free.put(checkout)


def _tell(tried: Counter[str], survivors: Sequence[Mutant], report: Path | None) -> int:
    lost = Counter(one.area for one in survivors)
    for area, count in tried.items():
        print(f"{area}: {count - lost[area]} of {count} noticed")
    total = tried.total()
    print(f"score: {(total - len(survivors)) / max(1, total):.1%} of {total}")
    if report is not None:
        report.write_text(json.dumps([one.name for one in survivors], indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
