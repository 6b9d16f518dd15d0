"""Runs a guide as it is written: takes the commands out of its pages, and makes one script of them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

RUN = frozenset({"bash", "console"})
"""Words after the fence that make a block one to be run."""
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """The commands of one block."""

    page: str
    line: int
    commands: str


def blocks(pages: Iterable[Path]) -> list[Block]:
    """Return what is to be run, in order. In a `console` block lines that begin with `$ ` or `# ` are commands."""
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            kind, commands = match[1], match[2]
            if kind not in RUN:
                continue
            if kind == "console":
                lines = [line[2:] for line in commands.splitlines() if line.startswith(("$ ", "# "))]
                commands = "\n".join(lines) + "\n"
            found.append(Block(page=page.name, line=text.count("\n", 0, match.start()) + 2, commands=commands))
    return found


def script(parts: Iterable[Block]) -> str:
    """Return a script that runs all blocks in one shell, says which it is at, and ends where one fails."""
    lines = ["set -euo pipefail", "trap 'echo \"FAILED in $GUIDE_PLACE\" >&2' ERR"]
    for part in parts:
        lines += [f'GUIDE_PLACE={part.page}:{part.line}; echo "== $GUIDE_PLACE"', part.commands.rstrip()]
    return "\n".join([*lines, 'echo "== done"', ""])
