"""Measures one function in a process of its own: seconds, processor time, peak memory.

The calling process stays small and starts nothing but measured children, because a child's peak, as the kernel reports it, is
never below the memory of the process that started it. So inputs are generated in children too.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHEAP_SECONDS = 8.0
"""A run that takes longer is measured once."""


class MeasureError(Exception):
    """A measured function failed; carries the end of what it wrote."""


@dataclass(frozen=True)
class Measurement:
    """What a function cost.

    `seconds`: of the call alone, modules that its module imports at the top being loaded already. `startup_seconds`: from the start
    of the process to the call. `cpu_seconds`: user and system time of the call, threads and children included; unlike `seconds` it
    hardly depends on what else the machine does. `peak_bytes`: largest resident set of the process.
    `outcome`: what the function returned. `runs`: how many runs these are the medians of (of the peak: the largest).
    """

    seconds: float
    startup_seconds: float
    cpu_seconds: float
    peak_bytes: int
    outcome: dict[str, Any]
    runs: int = 1


def measure(target: str, environment: dict[str, str] | None = None, **arguments: Any) -> Measurement:
    """Call `target` ("module:function") in a new process; arguments and what it returns are JSON. Raises MeasureError."""
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log.txt"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RAPPORT_", "AIRFLOW"))}
        command = [sys.executable, "-m", "benchmarks.measure", target, json.dumps(arguments, default=str), str(result)]
        with log.open("wb") as out:
            began = time.monotonic()
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**inherited, "BENCHMARK_BEGAN": repr(began), **(environment or {})},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise MeasureError(f"{target} failed with exit status {child.returncode}:\n{log.read_text(errors='replace')[-2000:]}")
        found = json.loads(result.read_text())
    return Measurement(found["seconds"], found["startup_seconds"], found["cpu_seconds"], usage.ru_maxrss * 1024, found["outcome"])


def measure_again(take: Callable[[], Measurement], most: int) -> Measurement:
    """The medians of up to `most` runs of `take`, a single one when it is not cheap; `take` sets its inputs up anew each time."""
    first = take()
    taken = [first]
    while first.seconds < CHEAP_SECONDS and len(taken) < most:
        taken.append(take())

    def median(name: str) -> float:
        return statistics.median(getattr(one, name) for one in taken)

    return Measurement(
        median("seconds"),
        median("startup_seconds"),
        median("cpu_seconds"),
        max(one.peak_bytes for one in taken),
        first.outcome,
        len(taken),
    )


def _child(target: str, arguments: str, result: str) -> None:
    module, _, name = target.partition(":")
    function = getattr(import_module(module), name)
    given = json.loads(arguments)
    began, used = time.monotonic(), sum(os.times()[:4])
    outcome = function(**given)
    measured = {
        "seconds": time.monotonic() - began,
        "startup_seconds": began - float(os.environ["BENCHMARK_BEGAN"]),
        "cpu_seconds": sum(os.times()[:4]) - used,
    }
    Path(result).write_text(json.dumps({**measured, "outcome": outcome}, default=str))


if __name__ == "__main__":
    _child(*sys.argv[1:])
