"""The floor of extracting: every page that Rapport asked for is downloaded again and thrown away, unread."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

AT_A_TIME = 8
"""Requests at a time; more only wait for the sandbox."""


def download(url: str, requests: str, out: str) -> dict[str, int]:
    """Download the recorded requests in their order; gives the bytes."""
    return asyncio.run(_download(url, json.loads(Path(requests).read_text())["requests"]))


async def _download(url: str, requests: list[dict[str, Any]]) -> dict[str, int]:
    waiting = iter(requests)
    size = 0

    async def worker(http: httpx.AsyncClient) -> None:
        nonlocal size
        for request in waiting:
            answer = await http.get(url + request["target"], headers={"Prefer": request["prefer"]})
            size += len(answer.content)
            if answer.status_code != request["status"]:
                raise RuntimeError(f"{request['target']} was answered with {answer.status_code}, not {request['status']}")

    async with httpx.AsyncClient(headers={"Accept-Encoding": "identity"}, timeout=60, trust_env=False) as http:
        await asyncio.gather(*(worker(http) for _ in range(AT_A_TIME)))
    return {"bytes": size, "requests": len(requests)}
