"""Similar won deals: the whole job, and its search beside comparing every pair in NumPy and scikit-learn's NearestNeighbors."""

from benchmarks.measure import Measurement, measure
from benchmarks.report import Report
from benchmarks.workspace import Workspace

DEFAULT, FULL = 5_000, 50_000
"""Open deals; there are four won deals and two lost ones to each."""

PEER_DEALS = 5_000
"""Open deals that the peers are asked for at most; ratios are of the time an open deal takes."""


def run(opened: int, work: Workspace) -> Report:
    """Measure with `opened` open deals."""
    deals = work.generated(f"deals-{opened}", "benchmarks.similar.rapport:prepare", opened=opened)
    few = min(opened, PEER_DEALS)
    report = Report(f"similar: {opened:,} open deals x {4 * opened:,} won deals, exact top 10", "open deals")

    def ours(function: str, **more: int) -> Measurement:
        return work.measured(lambda: measure(f"benchmarks.similar.rapport:{function}", folder=deals, **more))

    def peer(target: str) -> Measurement:
        return work.measured(lambda: measure(f"benchmarks.similar.{target}", folder=deals, opened=few))

    job = report.add("learn, search, explain", "ours", opened, ours("match"))
    equal = report.add("the same with equal weights", "ours", opened, ours("match_equal"))
    one = report.add("search, 1 thread", "ours", opened, ours("search", threads=1))
    two = report.add("search, 2 threads", "ours", opened, ours("search", threads=2))
    brute = report.add("NumPy: every pair", "peer", few, peer("every_pair:search"))
    sklearn = report.add("scikit-learn NearestNeighbors", "peer", few, peer("nearest_neighbors:search"))
    each = two.seconds / opened
    report.compare("every pair / search", brute.seconds / few / each)
    report.compare("scikit-learn / search", sklearn.seconds / few / each)
    report.compare("learn, search, explain", job.seconds / 60, "minutes", "at most 10 at 50,000 x 200,000")
    report.compare("peak memory", max(job.peak_bytes, equal.peak_bytes) / 1e9, "GB", "at most 4 at 50,000 x 200,000")
    if one.outcome != two.outcome:
        report.notes.append("1 and 2 threads differ")
    for name, other in (("every pair", brute), ("scikit-learn", sklearn)):
        if abs(other.outcome["distance"] - two.outcome["distance"]) > 1e-6:
            report.notes.append(
                f"distances differ: {two.outcome['distance']:.9f} here, {other.outcome['distance']:.9f} with {name}"
            )
    if brute.outcome["deals"] != two.outcome["deals"]:
        report.notes.append("the deals found differ from those of every pair")
    return report
