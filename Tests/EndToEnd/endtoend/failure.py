"""The one error that a person running the suite is meant to read."""

from __future__ import annotations

from pathlib import Path


class Failure(Exception):
    """A scenario or its setup did not do what it must; `log` names the file that tells more."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    def tail(self, lines: int = 15) -> str:
        """The end of the log, ready to print; empty when there is no log."""
        if self.log is None or not self.log.exists():
            return ""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- the end of {self.log}:", *text])
