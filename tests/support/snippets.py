"""The code in Markdown files: found, and taken apart into the commands of a shell."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Snippet:
    """A fenced block."""

    file: str  # as from the root of the repository
    line: int  # of its first line, from 1
    language: str  # what stands behind the fence
    code: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def snippets_of(root: Path, file: Path) -> list[Snippet]:
    """All fenced blocks of a file."""
    found: list[Snippet] = []
    fence: str | None = None
    language, begin, lines = "", 0, []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        mark = re.match(r"(`{3,})(\w*)\s*$", line.strip())
        if fence is None and mark:
            fence, language, begin, lines = mark[1], mark[2], number + 1, []
        elif fence is not None and line.strip() == fence:
            found.append(Snippet(str(file.relative_to(root)), begin, language, "\n".join(lines)))
            fence = None
        elif fence is not None:
            lines.append(line)
    assert fence is None, f"{file}: a fence is not closed"
    return found


def inline_code_of(file: Path) -> list[str]:
    """What stands between single backticks outside of the blocks, line breaks made blanks."""
    text = re.sub(r"^(`{3,}).*?^\1\s*$", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]


@dataclass(frozen=True)
class Command:
    """One command of a shell: of a line with pipes, or with one command in another, there are several."""

    words: tuple[str, ...]
    output: str = ""  # the file that its output goes into

    def __str__(self) -> str:
        return shlex.join(self.words)


def commands_of(code: str) -> list[Command]:
    """The commands of a snippet, in their order, without the assignments before them."""
    commands: list[Command] = []
    for line in re.sub(r"\\\n\s*", " ", code).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words: list[str] = []
        output = ""
        tokens = [*lexer, ";"]
        while tokens:
            token = tokens.pop(0)
            if set(token) <= set("<>") and tokens:
                target = tokens.pop(0)
                output = target if ">" in token else output
            elif set(token) <= set("|&;()"):
                while words and re.fullmatch(r"\w+=.*", words[0], re.DOTALL):
                    del words[0]
                if words:
                    commands.append(Command(tuple(words), output))
                words, output = [], ""
            else:
                words.append(token)
    return commands


def extras_in(requirement: str) -> tuple[str, ...]:
    """``("train", "web")`` of ``.[train,web]``."""
    match = re.search(r"\[([\w,-]+)\]", requirement)
    return tuple(match[1].split(",")) if match else ()
