"""Stacks of a running process, in words."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

# Return addresses, the innermost first.
Stack = tuple[int, ...]

# What says nothing: a place without a line, the column, and the library that counts.
NOISE = re.compile(r" at \S+:0:\d+$|(?<=\d):\d+$|^.* at allocations\.c:.*\n", re.MULTILINE)


class Symbols:
    """Names the functions of a process, with the tools of the Swift toolchain."""

    def __init__(self, pid: int) -> None:
        # Where the code of a file is mapped, the file, and what to take off an address for its place in the file.
        self._code: list[tuple[range, str, int]] = []
        bases: dict[str, int] = {}
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, permissions, _, _, _, *file = line.split(maxsplit=5)
            start, end = (int(address, 16) for address in addresses.split("-"))
            if file and "x" in permissions:
                self._code.append((range(start, end), file[0], bases.get(file[0], start)))
            elif file:
                bases.setdefault(file[0], start)

    def text(self, stack: Stack) -> str:
        """A line a function, those inlined too."""
        return NOISE.sub("", _demangled("".join(map(self._name, stack))))

    def _name(self, address: int) -> str:
        for addresses, file, base in self._code:
            if address in addresses:
                # One less: a return address is that of the instruction after the call.
                offset = hex(address - base - 1)
                options = ["--pretty-print", "--basenames", "--no-demangle", f"--obj={file}"]
                lines = _output(["llvm-symbolizer", *options, offset]).split("\n")
                return "".join(f"    {line.strip()}\n" for line in lines if line) or f"    {file} {offset}\n"
        return f"    {address:#x}\n"


def _demangled(text: str) -> str:
    return _output(["swift", "demangle", "--simplified"], text) or text


def _output(command: list[str], text: str = "") -> str:
    """What a program says, or nothing when it is not there: a stack of numbers is better than none."""
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""
