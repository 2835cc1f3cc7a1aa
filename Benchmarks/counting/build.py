"""Where the release build has put its programs."""

from __future__ import annotations

import os
from pathlib import Path

from .failure import Failure

REPOSITORY = Path(__file__).resolve().parents[2]


def program(name: str) -> Path:
    """The release build of this program."""
    path = REPOSITORY / ".build/release" / name
    if not os.access(path, os.X_OK):
        raise Failure(f"there is no {path.relative_to(REPOSITORY)}: run `make costs`, which builds it")
    return path
