"""A stand-in for a hosted model within the test process, and a recipe that asks it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from conftest import TinyRecipe, tiny_rows

from benchmarks.endpoint import Stand, serve

KEY = "sk-a-secret-of-the-tests"


def labels() -> dict[str, Mapping[str, float]]:
    """The oracle of the tiny texts: the label has 0.9."""
    other = {"negative": "positive", "positive": "negative"}
    return {text: {label: 0.9, other[label]: 0.1} for text, label in tiny_rows()}


@contextmanager
def standing(**settings: Any) -> Iterator[tuple[str, Stand]]:
    """A server on a free port: its base URL, and its settings and counts."""
    known = labels()
    stand = Stand(settings.pop("oracle", lambda text: known.get(text, {})), **settings)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(serve(stand, 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", stand
    finally:
        asyncio.run_coroutine_threadsafe(_closed(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _closed(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def asking_recipe(tiny_recipe: TinyRecipe, url: str, **asking: Any) -> Path:
    """A recipe of unlabelled training texts, whose one teacher is behind an endpoint."""
    path = tiny_recipe({"data": {"unlabelled": True, "labels": ["negative", "positive"]}})
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipe["teachers"] = {
        "llm": {
            "endpoint": url,
            "model": "stand-in",
            "key_env": "DKD_TEST_KEY",
            "price": {"input": 1.0, "output": 2.0},
            "asking": {"timeout": 5.0, **asking},
        }
    }
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path
