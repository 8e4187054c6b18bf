"""What a request is about, told before it is answered, so that faults can be aimed at it."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.odata import Page, Reply


@dataclass
class Route:
    """A stream, named as in the raw log, the mailbox (user id) it belongs to, and what answers the request."""

    stream: str
    answer: Callable[[], Page | Reply]
    mailbox: str | None = None
