"""What was measured and picked on a machine, in one JSON file for each device, driver and version."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from gpunn.backend.cache import cache_folder

Row = dict[str, Any]
"""What was picked for one product and why: see `Picks`."""


class Picks:
    """A file of picks; several processes may add to it at once, and what is in it once stays.

    It has an object ``"measured on"`` that says on what, and an object ``"picks"`` with a row for each product, such as
    ``"linear_forward 128x784x512 float32": {"pick": "medium, 3 parts", ...}``. A file that is damaged or of something
    else is left as it is; a warning says so, and there are no picks.

    Args:
        identity: the device, its driver, and the versions of what compiles and launches.

    Attributes:
        path: the file, in `gpunn.backend.cache.cache_folder`.
        usable: whether picks can be looked up and, as far as one knows, added.
    """

    def __init__(self, identity: Mapping[str, str]) -> None:
        self.identity = dict(identity)
        name = "-".join(re.sub(r"[^a-z0-9.]+", "-", value.lower()).strip("-") for value in self.identity.values())
        self.path = cache_folder("tuning") / f"{name}.json"
        self.usable = True
        self._rows = self._read()

    def get(self, product: str) -> str | None:
        """What was picked for a product, when this process began or by itself; None where nothing was."""
        row = self._rows.get(product)
        return None if row is None else str(row["pick"])

    def can_be_written(self) -> bool:
        """Whether a row can be added; the first time that it can't, a warning says why."""
        if self.usable:
            with self._trying_to_write(), self._locked():
                pass
        return self.usable

    def add(self, product: str, row: Row) -> str | None:
        """Add a row, unless another process was faster, whose row then counts.

        Returns:
            What is picked from now on; None where the file can't be written, so that nothing is.
        """
        if not self.usable:
            return None
        with self._trying_to_write(), self._locked():
            rows = self._read()  # with those that others have added
            if self.usable:
                if product not in rows:
                    rows[product] = row
                    self._write(rows)
                self._rows[product] = rows[product]
        return self.get(product)

    def _read(self) -> dict[str, Row]:
        try:
            found = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            return self._ignore(f"can't be read ({error.strerror})")
        except ValueError:  # no JSON, no UTF-8
            return self._ignore("is damaged")
        rows = found.get("picks") if isinstance(found, dict) else None
        if not isinstance(rows, dict) or not all(
            isinstance(row, dict) and isinstance(row.get("pick"), str) for row in rows.values()
        ):
            return self._ignore("is damaged")
        if found.get("measured on") != self.identity:
            return self._ignore(f"was measured on {found.get('measured on')}, and this is {self.identity}")
        return rows

    def _write(self, rows: Mapping[str, Row]) -> None:
        temporary = self.path.with_name(f".{secrets.token_hex(8)}")
        text = json.dumps({"measured on": self.identity, "picks": dict(sorted(rows.items()))}, indent=1)
        try:
            temporary.write_text(text + "\n", encoding="utf-8")
            os.replace(temporary, self.path)
        finally:
            with suppress(OSError):
                temporary.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Inside, no other process adds a row."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_suffix(".lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _trying_to_write(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._ignore(f"can't be written ({error.strerror}); GPUNN_CACHE names another folder")

    def _ignore(self, why: str) -> dict[str, Row]:
        """Say once why the file is of no use."""
        self.usable = False
        warnings.warn(
            f"{self.path} {why}: what is not picked yet is picked as predicted, and nothing is measured", stacklevel=2
        )
        return {}
