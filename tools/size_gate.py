"""Fails when a source file has more than 600 lines or a function more than 80: `python tools/size_gate.py DIR…`."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 600
FUNCTION_LINES = 80


def findings(path: Path) -> Iterator[str]:
    """Yield a sentence for everything in `path` that is too long."""
    text = path.read_text()
    lines = text.count("\n") + 1
    if lines > FILE_LINES:
        yield f"{path}: {lines} lines, at most {FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}"


def main(directories: list[str]) -> int:
    """Check every Python file below the directories; return 1 when something is too long."""
    found = [
        finding for directory in directories for path in sorted(Path(directory).rglob("*.py")) for finding in findings(path)
    ]
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
