"""Compares `file<TAB>outcome` lines, one run per directory, with what the vectors expect. Prints every disagreement."""

import json
import sys
from pathlib import Path

# How many vectors each directory of attenu-guard 0.21.0 holds: a vector that goes missing is a failure.
COUNTS = {"vectors": 20, "draft02": 35}


def expected(path: Path) -> str:
    vector = json.loads(path.read_bytes())
    return vector.get("expect_reject_reason") or vector["expect"]


def main(directories: list[Path]) -> int:
    wanted = [(path, expected(path)) for directory in directories for path in sorted(directory.glob("*.json"))]
    found = [line.rstrip("\n").split("\t") for line in sys.stdin]
    passed = failed = 0
    for (path, outcome), line in zip(wanted, found + [["", "nothing"]] * len(wanted)):
        if line == [path.name, outcome]:
            passed += 1
        else:
            failed += 1
            print(f"{path.parent.name}/{path.name}: expected {outcome}, got {line[-1]} for {line[0] or 'no file'}")
    failed += max(len(found) - len(wanted), 0)
    for directory in directories:
        count = sum(path.parent == directory for path, _ in wanted)
        if count != COUNTS[directory.name]:
            failed += 1
            print(f"{directory.name}: {count} vectors instead of {COUNTS[directory.name]}")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
