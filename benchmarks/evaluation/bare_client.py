"""Only the requests: aiohttp, as many workers as may be in flight, nothing stored and nothing scored."""

import asyncio
import time

import aiohttp

from benchmarks.evaluation.job import MODEL, Job, contestant


async def ask_all(job: Job) -> float:
    """Ask every question and give the seconds."""
    waiting = iter(job.pairs())
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for question, _ in waiting:
                body = {"model": MODEL, "messages": [{"role": "user", "content": question}]}
                async with session.post(f"{job.base_url}/chat/completions", json=body) as answer:
                    answer.raise_for_status()
                    await answer.json()

        began = time.perf_counter()
        await asyncio.gather(*[work() for _ in range(job.concurrency)])
        return time.perf_counter() - began


if __name__ == "__main__":
    contestant(lambda job: (asyncio.run(ask_all(job)), None))
