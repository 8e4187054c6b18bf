"""Publication of checked candidates: immutable versions behind one pointer, and what readers may rely on."""

from jobs.publish.context import CONTRACT_VERSION, RunContext
from jobs.publish.protocol import Publication, PublishError, publish, release, rollback

__all__ = ["CONTRACT_VERSION", "Publication", "PublishError", "RunContext", "publish", "release", "rollback"]
