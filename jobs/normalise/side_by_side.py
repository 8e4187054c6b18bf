"""Work on several items at a time, as many as there are processors to use: Polars leaves Python's lock while it works."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_A_TIME = 2
"""Each item in work takes memory, so no more than two are, whatever the machine."""


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work(item)` for every item, in order; items are asked for as they are needed, and an error of one ends the whole."""
    ahead = iter(items)
    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="normalise") as pool:
        running: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(ahead, AT_A_TIME))
        while running:
            result = running.popleft().result()
            running.extend(pool.submit(work, item) for item in islice(ahead, 1))
            yield result
