"""Training at every batch size, beside the frameworks that are installed: ``gpunn bench batch-size``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from gpunn.bench.implementations import PEERS, missing

from .setup import Setup

SIZES = {
    "W1": "1,32,128,512,4096,65536",
    "W2": "64,1024",
    "W3": "16384,262144",
    "W4": "32,128,1024,8192",
    "W5": "128,1024",
}


def training(setup: Setup) -> list[dict[str, Any]]:
    """The rows of ``gpunn bench batch-size`` for each workload."""
    peers = ["gpunn-eager"]
    if not setup.tiny:
        peers += [name for name in PEERS if not name.startswith("gpunn") and not missing(name)]
    rows = []
    for workload, sizes in {"W3": "2"}.items() if setup.tiny else SIZES.items():
        command = [sys.executable, "-m", "gpunn", "bench", "batch-size", "--json", "--device", str(setup.device)]
        command += ["--workload", workload, "--batch-sizes", sizes, "--peers", ",".join(peers)]
        done = subprocess.run([*command, *(["--quick"] if setup.tiny else [])], capture_output=True, text=True)
        try:
            rows += json.loads(done.stdout.splitlines()[-1])["rows"]
        except (IndexError, ValueError):
            rows.append({"workload": workload, "error": done.stderr.strip()[-300:]})
    return rows
