"""Requests a second of `dkd label` against the stand-in, in a process of its own, and the CPU time of each.

python -m benchmarks.asking --requests 4000 --concurrency 16 --latency 20
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from dkd_cli.labelling.answers import AnswerStore, text_key
from dkd_cli.labelling.asking import AskingTally, Desk, ask
from dkd_cli.labelling.budget import Budget, Tariff
from dkd_cli.labelling.endpoint import Endpoint, Question
from dkd_cli.labelling.prompts import Prompt
from dkd_cli.recipe.asking import Asking
from dkd_cli.recipe.schema import Teacher

CLASSES = {"negative": "complaints", "neutral": "", "positive": "praise"}


def measured(url: str, requests: int, concurrency: int, folder: Path) -> dict[str, float]:
    """Ask about so many texts; seconds, and CPU seconds of this process."""
    prompt, asking = Prompt(CLASSES), Asking(concurrency=concurrency)
    teacher = Teacher(endpoint=url, model="stand-in", asking=asking)
    texts = [f"text number {index} of a benchmark, about as long as a tweet is" for index in range(requests)]
    questions = [Question(text_key(text, None), text, None, tuple(CLASSES)) for text in texts]
    stop = threading.Event()
    with (
        closing(AnswerStore(folder, {}, print)) as store,
        closing(Endpoint(teacher, prompt, "teachers.llm", None, stop)) as endpoint,
    ):
        desk = Desk(endpoint, store, Budget(), Tariff(0.15, 0.6), prompt, asking, "benchmark", stop)
        ask(desk, questions[:50], AskingTally(), lambda count, budget: None)  # connections and imports
        started, cpu, tally = time.monotonic(), time.process_time(), AskingTally()
        ask(desk, questions[50:], tally, lambda count, budget: None)
        seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    return {"answered": tally.answered, "seconds": seconds, "cpu": cpu}


def main() -> None:
    """Start the stand-in, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asking", description=__doc__)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--latency", type=float, default=20.0, help="milliseconds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dkd-asking-") as name:
        folder = Path(name)
        oracle = folder / "oracle.csv"
        oracle.write_text("text,label\na,negative\nb,positive\n", encoding="utf-8")
        words = ["-m", "benchmarks.endpoint", "--answers", str(oracle), "--port", "0"]
        server = subprocess.Popen(
            [sys.executable, *words, "--latency", str(given.latency)], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            found = measured(url, given.requests, given.concurrency, folder / "answers")
        finally:
            server.terminate()
            server.wait()
    rate = found["answered"] / found["seconds"]
    allowed = given.concurrency / (given.latency / 1000)
    result = {
        "per_second": round(rate, 1),
        "of_allowed": round(rate / allowed, 3),
        "cpu_ms": round(1000 * found["cpu"] / found["answered"], 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
