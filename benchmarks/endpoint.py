"""A stand-in for a hosted language model: speaks the OpenAI chat protocol and answers from a file or a model.

For trying `dkd label` offline, for its tests and for its benchmark. Log-probabilities, latency and faults are
those that are asked for; what was asked is counted, and shown at `/stats`. It listens on the loopback alone.
Knows of dkd the format of its prompt and nothing else.

    python -m benchmarks.endpoint --answers labels.csv --port 8765
    python -m benchmarks.endpoint --checkpoint checkpoints/quickstart/teacher-large --latency 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

Oracle = Callable[[str], Mapping[str, float]]
"""Text -> the probability of each class; an empty mapping for a text that it does not know."""

FAULTS = ("429", "500", "timeout", "half", "json", "class", "nologprobs", "empty")
CLASS_LINE = re.compile(r"^([A-Z]) = (.+)$", re.MULTILINE)
TOP = 20
"""Alternatives that a hosted model gives for a token, at most."""
LEAST = 1e-9


@dataclass
class Stand:
    """The server's settings and counts."""

    oracle: Oracle
    latency: float = 0.0
    """Seconds before each answer."""
    faults: Mapping[str, float] = field(default_factory=dict)
    """Probability of each fault."""
    key: str | None = None
    """Requests with another key get 401."""
    status: int | None = None
    """Every request gets this status."""
    retry_after: float = 0.05
    log: Path | None = None
    """Each request that was answered is appended here, as its text's JSON string."""
    asked: Counter[str] = field(default_factory=Counter)
    """Text -> requests that were answered (and would be billed)."""
    made: Counter[str] = field(default_factory=Counter)
    """Fault, or `ok` -> requests."""
    draws: random.Random = field(default_factory=lambda: random.Random(0))


def from_file(path: Path) -> Oracle:
    """The oracle that looks texts up in a csv, json, jsonl or parquet file of `label` or `probabilities`."""
    from dkd_cli.reading.readers import read_table

    table = read_table(path, str(path), "label")
    texts = table.columns["text"]
    if "probabilities" in table.columns:
        known: dict[Any, Any] = dict(zip(texts, table.columns["probabilities"], strict=True))
        return lambda text: known.get(text, {})
    labels = table.columns["label"]
    named: dict[Any, Any] = {text: {str(one): 1.0} for text, one in zip(texts, labels, strict=True)}
    return lambda text: named.get(text, {})


def from_checkpoint(folder: str) -> Oracle:
    """The oracle that asks a classifier, one text at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]

    @lru_cache(maxsize=100_000)
    def answer(text: str) -> Mapping[str, float]:
        with torch.no_grad():
            logits = model(**tokenizer(text, truncation=True, max_length=128, return_tensors="pt")).logits[0]
        return dict(zip(names, logits.softmax(dim=-1).tolist(), strict=True))

    return answer


def answered(stand: Stand, request: Mapping[str, Any], fault: str | None) -> dict[str, Any]:
    """The body of a chat completion."""
    messages = request["messages"]
    system, text = messages[0]["content"], _text(messages[-1]["content"])
    probabilities = stand.oracle(text)
    codes = _codes(system, probabilities)
    values = np.array([max(probabilities.get(name, 0.0), LEAST) for name in codes.values()])
    values /= values.sum()
    letters = list(codes)
    temperature = request.get("temperature", 1.0)
    choices = []
    for index in range(request.get("n", 1)):
        said = int(values.argmax()) if temperature == 0 else _drawn(stand.draws, values)
        word = letters[said] if fault != "class" else "7"
        choice: dict[str, Any] = {
            "index": index,
            "message": {"role": "assistant", "content": "" if fault == "empty" else word},
            "finish_reason": "stop",
        }
        if request.get("logprobs") and fault != "nologprobs":
            top = sorted(zip(values.tolist(), letters, strict=True), reverse=True)
            top = top[: min(TOP, request.get("top_logprobs", 0))]
            choice["logprobs"] = {"content": [_token(word, float(values[said]), top)]}
        choices.append(choice)
    stand.asked[text] += 1
    if stand.log is not None:
        with stand.log.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(text) + "\n")
    prompt_tokens = sum(len(message["content"]) // 4 + 4 for message in messages)
    return {
        "id": "stand-in",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": len(choices),
            "total_tokens": prompt_tokens + len(choices),
        },
    }


def _drawn(draws: random.Random, values: np.ndarray[Any, Any]) -> int:
    return draws.choices(range(len(values)), weights=values.tolist())[0]


def _token(word: str, value: float, top: Sequence[tuple[float, str]]) -> dict[str, Any]:
    listed = [{"token": letter, "logprob": math.log(p), "bytes": None} for p, letter in top]
    return {"token": word, "logprob": math.log(value), "bytes": None, "top_logprobs": listed}


def _text(message: str) -> str:
    return message.removeprefix("Text: ")


def _codes(system: str, probabilities: Mapping[str, float]) -> dict[str, str]:
    """Letter -> class, as the prompt lists them; a description follows a colon."""
    found = {}
    for letter, rest in CLASS_LINE.findall(system):
        known = [name for name in probabilities if rest == name or rest.startswith(f"{name}: ")]
        found[letter] = max(known, key=len) if known else rest.partition(": ")[0]
    return found


async def serve(stand: Stand, port: int) -> asyncio.Server:
    """Start listening on the loopback; port 0 takes a free one."""
    return await asyncio.start_server(lambda r, w: _connection(stand, r, w), "127.0.0.1", port, backlog=256)


@contextmanager
def served(stand: Stand) -> Iterator[str]:
    """Serve from a thread, on a free port; yields the base URL."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(serve(stand, 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
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


async def _connection(stand: Stand, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (ln.partition(":") for ln in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if not await _respond(stand, first.split(" ")[1], headers, body, writer):
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has gone
    finally:
        writer.close()


async def _respond(
    stand: Stand, path: str, headers: Mapping[str, str], body: bytes, writer: asyncio.StreamWriter
) -> bool:
    """Answer one request; False closes the connection."""
    if path == "/stats":
        total, twice = stand.asked.total(), sum(count - 1 for count in stand.asked.values())
        counts = {"answered": total, "texts": len(stand.asked), "again": twice, "made": dict(stand.made)}
        return await _send(writer, 200, counts)
    if not path.endswith("/chat/completions"):
        return await _send(writer, 404, _error("there is no such path here"))
    if stand.key is not None and headers.get("authorization") != f"Bearer {stand.key}":
        return await _send(writer, 401, _error("wrong key"))
    if stand.status is not None:
        stand.made[str(stand.status)] += 1
        return await _send(writer, stand.status, _error("every request gets this"))
    fault = _fault(stand)
    stand.made[fault or "ok"] += 1
    if fault == "429":
        return await _send(writer, 429, _error("slow down"), {"Retry-After": f"{stand.retry_after:g}"})
    if fault == "500":
        return await _send(writer, 500, _error("out of order"))
    if stand.latency:
        await asyncio.sleep(stand.latency)
    if fault == "timeout":
        await asyncio.sleep(3600)
    request = json.loads(body)
    content = json.dumps(answered(stand, request, fault)).encode()
    if fault == "json":
        content = content[: len(content) // 2]
        return await _write(writer, 200, content, len(content))
    if fault == "half":
        await _write(writer, 200, content[: len(content) // 2], len(content))
        return False
    return await _write(writer, 200, content, len(content))


def _fault(stand: Stand) -> str | None:
    drawn = stand.draws.random()
    for name, share in stand.faults.items():
        if drawn < share:
            return name
        drawn -= share
    return None


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "stand_in", "code": None}}


async def _send(
    writer: asyncio.StreamWriter, status: int, value: Any, headers: Mapping[str, str] | None = None
) -> bool:
    content = json.dumps(value).encode()
    return await _write(writer, status, content, len(content), headers)


async def _write(
    writer: asyncio.StreamWriter,
    status: int,
    content: bytes,
    length: int,
    headers: Mapping[str, str] | None = None,
) -> bool:
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
    writer.write(head.encode("latin-1") + content)
    await writer.drain()
    return True


def parsed_faults(words: str) -> dict[str, float]:
    """Read `429=0.05,500=0.02`.

    >>> parsed_faults("429=0.05,half=0.1")
    {'429': 0.05, 'half': 0.1}
    """
    pairs = [word.split("=") for word in words.split(",") if word]
    unknown = [name for name, _ in pairs if name not in FAULTS]
    if unknown:
        raise SystemExit(f"no such fault: {unknown[0]}; there are {', '.join(FAULTS)}")
    return {name: float(share) for name, share in pairs}


async def _run(stand: Stand, port: int) -> None:
    server = await serve(stand, port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endpoint", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--answers", type=Path, help="a file with `text` and `label` or `probabilities`")
    source.add_argument("--checkpoint", help="a folder with a trained classifier")
    parser.add_argument("--port", type=int, default=8765, help="0: a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds before each answer")
    parser.add_argument("--faults", default="", help=f"as in 429=0.05,half=0.01: {', '.join(FAULTS)}")
    parser.add_argument("--key", help="the only key that is accepted; any if left out")
    parser.add_argument("--status", type=int, help="answer every request with this status")
    parser.add_argument("--seed", type=int, default=0, help="of faults and drawn answers")
    parser.add_argument("--log", type=Path, help="append the text of every answered request to this file")
    given = parser.parse_args()
    oracle = from_file(given.answers) if given.answers is not None else from_checkpoint(given.checkpoint)
    stand = Stand(
        oracle,
        latency=given.latency / 1000,
        faults=parsed_faults(given.faults),
        key=given.key,
        status=given.status,
        log=given.log,
        draws=random.Random(given.seed),
    )
    try:
        asyncio.run(_run(stand, given.port))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
