"""The gate: checks on a candidate before readers may see it."""

from jobs.publish.verdict import Check, GateError, GateResult
from jobs.quality.gate import gate

__all__ = ["Check", "GateError", "GateResult", "gate"]
