"""The table of a benchmark: what was measured, how it compares with its peers and floors."""

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measurement


@dataclass(frozen=True)
class Row:
    """One measured thing; `role` is ours, peer or floor, `count` the units it worked on."""

    name: str
    role: str
    count: int
    measured: Measurement


@dataclass(frozen=True)
class Ratio:
    """A figure of two rows of one run, and what it should be (empty: only reported)."""

    name: str
    value: float
    unit: str = "x"
    aim: str = ""


@dataclass
class Report:
    """Everything that one benchmark has to say; `unit` names what `count` counts."""

    title: str
    unit: str
    rows: list[Row] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, role: str, count: int, measured: Measurement) -> Measurement:
        """Add a row; gives its measurement back."""
        self.rows.append(Row(name, role, count, measured))
        return measured

    def compare(self, name: str, value: float, unit: str = "x", aim: str = "") -> None:
        """Add a ratio or another derived figure."""
        self.ratios.append(Ratio(name, value, unit, aim))

    def against(self, name: str, upper: Measurement, lower: Measurement, aim: str = "") -> None:
        """Compare two measurements by seconds and by processor seconds."""
        self.compare(name, upper.seconds / lower.seconds, aim=aim)
        if lower.cpu_seconds:
            self.compare("  by processor seconds", upper.cpu_seconds / lower.cpu_seconds)

    def show(self, console: Console) -> None:
        """Print the table, the ratios below it, then the notes."""
        table = Table(title=self.title, title_justify="left")
        headings = ("", "", self.unit, "seconds", "runs", "start-up s", "cpu s", "peak MB", f"{self.unit}/s")
        for place, heading in enumerate(headings):
            table.add_column(heading, justify="left" if place < 2 else "right", no_wrap=place > 0)
        for row in self.rows:
            cost = row.measured
            table.add_row(
                row.name,
                row.role,
                f"{row.count:,}",
                f"{cost.seconds:,.2f}",
                str(cost.runs),
                f"{cost.startup_seconds:.2f}",
                f"{cost.cpu_seconds:,.2f}",
                f"{cost.peak_bytes / 1e6:,.0f}",
                f"{row.count / cost.seconds:,.0f}" if cost.seconds else "",
            )
        console.print(table)
        for ratio in self.ratios:
            aim = f"   (aim: {ratio.aim})" if ratio.aim else ""
            console.print(f"  {ratio.name}: {ratio.value:,.2f} {ratio.unit}{aim}", highlight=False)
        for note in self.notes:
            console.print(f"  note: {note}", highlight=False)
        console.print()

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)
