"""Where an agent's lanes are kept: lines of JSON, the same ones that the JavaScript package keeps."""
from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .errors import TallystickError

# {"sign": id, "at": [payee, asset, expiry, lane], "amount", "total", "most"?, "paid"?, "void"?}: a payment was signed.
# {"held": total, "at": [..], "paid"?: id}: the engine holds this for the lane, by its answer to that payment.
# {"void": id}: that payment was not charged and never can be.
# {"gone": sum, "asset": number}: what was signed on channels that are over; budgets go on counting it.
Line = dict[str, Any]


class LaneStore(Protocol):
    """What keeps lanes."""

    def open(self, network: bytes, signer: bytes) -> list[Line]:
        """Everything kept for this owner, oldest first. Takes the store for this process alone."""

    def append(self, line: Line, durable: bool) -> None:
        """Keeps a line. A durable one is on the disk when this returns: a voucher leaves only then."""

    def rewrite(self, lines: list[Line]) -> None:
        """Keeps these lines in place of all others."""

    def close(self) -> None:
        """Lets go of it."""


class MemoryLanes:
    """Keeps nothing: after a crash new lanes are begun, and what the old ones were paid stays paid. For a try-out."""

    def open(self, network: bytes, signer: bytes) -> list[Line]:
        return []

    def append(self, line: Line, durable: bool) -> None:
        pass

    def rewrite(self, lines: list[Line]) -> None:
        pass

    def close(self) -> None:
        pass


class FileLanes:
    """Keeps lanes in a file. One process at a time: `FILE.lock` names it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = pathlib.Path(path)
        self._lock = self._path.with_name(self._path.name + ".lock")
        self._owner = ""
        self._file: int | None = None
        self._failed: OSError | None = None

    def open(self, network: bytes, signer: bytes) -> list[Line]:
        owner = {"network": network.hex(), "signer": signer.hex()}
        # What version 1 lacks, it had nothing of.
        before, self._owner = (json.dumps({"tallystick": form} | owner, separators=(",", ":"))
                               for form in ("lanes 1", "lanes 2"))
        self._take_lock()
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        whole = text[:text.rfind("\n") + 1]  # what follows was being written in a crash: it never left
        first, *lines = whole.splitlines() or [self._owner]
        if first not in (before, self._owner):
            self._lock.unlink()
            raise TallystickError(f"{self._path} keeps the lanes of another key or network: give each its own file")
        return [json.loads(line) for line in lines]

    def append(self, line: Line, durable: bool) -> None:
        with self._writing():
            if self._file is None:
                raise TallystickError(f"{self._path} is closed")
            _write(self._file, json.dumps(line, separators=(",", ":")) + "\n")
            if durable:
                os.fdatasync(self._file)

    def rewrite(self, lines: list[Line]) -> None:
        with self._writing():
            self._replace(lines)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """After a failed write nobody knows what is on the disk: nothing more is paid from this file in this process."""
        if self._failed:
            raise self._failed
        try:
            yield
        except OSError as error:
            self._failed = error
            raise

    def _replace(self, lines: list[Line]) -> None:
        fresh = self._path.with_name(self._path.name + ".tmp")
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        text = [self._owner, *(json.dumps(line, separators=(",", ":")) for line in lines), ""]
        _write(file, "\n".join(text))
        os.fsync(file)
        os.rename(fresh, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        if self._file is not None:
            os.close(self._file)
        self._file = file

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._lock.unlink(missing_ok=True)
        self._file = None

    def _take_lock(self) -> None:
        """Takes the lock, also from a process that is gone."""
        mine = f"{os.getpid()} {_start_of(os.getpid())}\n"
        for _ in range(3):
            try:
                file = os.open(self._lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                pid, _, start = self._lock.read_text(encoding="ascii").strip().partition(" ")
                if pid.isdigit() and _is_alive(int(pid)) and _start_of(int(pid)) == start:
                    text = f"{self._path} is used by process {pid}: give each process its own lanes"
                    raise TallystickError(text) from None
                self._lock.unlink(missing_ok=True)
                continue
            _write(file, mine)
            os.close(file)
            return
        raise TallystickError(f"{self._lock} comes back each time it is taken away: who else uses these lanes?")


def _write(file: int, text: str) -> None:
    """All of it: a write may take a part only."""
    data = text.encode()
    while data:
        data = data[os.write(file, data):]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _start_of(pid: int) -> str:
    """When a process started, as Linux tells it, so that a pid used again is not taken for it. Elsewhere empty."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(") ")[2].split()[19]
    except (OSError, IndexError):
        return ""
