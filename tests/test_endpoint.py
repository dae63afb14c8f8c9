"""One request: what is sent, what a refusal means, and a server that somebody else wrote."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from stand_in import KEY

from dkd_cli.errors import RecipeError, SystemProblem
from dkd_cli.labelling.endpoint import (
    Endpoint,
    Question,
    api_key,
    request_fields,
    require_client,
    retry_after,
    shown_classes,
    worst_tokens,
)
from dkd_cli.labelling.prompts import Prompt
from dkd_cli.labelling.replies import Answer, Unparsed
from dkd_cli.recipe.asking import Asking
from dkd_cli.recipe.schema import Teacher

MANY = Prompt({f"class {index}": "" for index in range(60)})


def test_fields_follow_the_way_of_asking() -> None:
    assert request_fields(Asking(), "m") == {
        "model": "m",
        "temperature": 0.0,
        "max_tokens": 8,
        "logprobs": True,
        "top_logprobs": 20,
    }
    votes = request_fields(Asking(answers="votes", votes=7), "m")
    assert (votes["n"], votes["temperature"]) == (7, 1.0)
    changed = Asking(
        answers="single", parameters={"max_tokens": "null", "seed": "3", "reasoning_effort": "none"}
    )
    assert request_fields(changed, "m") == {
        "model": "m",
        "temperature": 0.0,
        "seed": 3,
        "reasoning_effort": "none",
    }


def test_shortlists_follow_each_other_when_none_fits() -> None:
    question = Question("k", "text", None, tuple(reversed(MANY.classes)))
    first, second, last, again = (shown_classes(question, nones, 25, MANY) for nones in range(4))
    assert first[-1] == "class 59"
    assert not set(first) & set(second)
    assert {*first, *second, *last} == set(MANY.classes)
    assert again == first
    assert list(MANY.codes(first).values())[-1] is None


def test_a_request_takes_at_most_a_token_a_byte() -> None:
    messages = [{"role": "user", "content": "é" * 10}]
    assert worst_tokens(messages, Asking(answers="votes", votes=3, max_tokens=2)) == (36, 6)


def test_retry_after_takes_seconds_and_dates() -> None:
    assert retry_after("2") == 2.0
    assert retry_after(None) is retry_after("soon") is retry_after("inf") is None
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = Teacher(endpoint="http://x/v1", model="m", key_env="DKD_TEST_KEY")
    monkeypatch.delenv("DKD_TEST_KEY", raising=False)
    with pytest.raises(RecipeError, match=r"\$DKD_TEST_KEY is not set"):
        api_key(teacher, "teachers.llm")
    monkeypatch.setenv("DKD_TEST_KEY", f" {KEY}\n")
    assert api_key(teacher, "teachers.llm") == KEY


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dkd_cli.labelling.endpoint.find_spec", lambda name: None)
    with pytest.raises(SystemProblem, match="llm"):
        require_client("teachers.llm")


# A server of somebody else's --------------------------------------------------------------------------------


def tiny_language_model(folder: Path) -> None:
    """A causal model with random weights that says A or B, whatever it reads."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<unk>": 0, "<eos>": 1, "A": 2, "B": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>", pad_token="<eos>"
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        eos_token_id=1,
        pad_token_id=1,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[:2] = 0  # the logits of the others are a number and its opposite
        model.lm_head.weight[3] = -model.lm_head.weight[2]
    model.save_pretrained(folder)


def served(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """`transformers serve` on a free port, when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    process = subprocess.Popen([sys.executable, "-m", "transformers.cli.transformers", *words])
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return process, f"http://127.0.0.1:{port}/v1"
        except OSError:
            assert process.poll() is None, "the server ended"
            time.sleep(0.5)
    raise AssertionError("the server does not answer")


@pytest.mark.slow
def test_the_protocol_is_that_of_transformers_serve(tmp_path: Path) -> None:
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        # The server's own dependencies, which dkd never needs.
        pytest.skip("needs fastapi and uvicorn, as in pip install 'transformers[serving]'")
    tiny_language_model(tmp_path)
    prompt = Prompt({"negative": "", "positive": "praise"})
    question = Question("k", "what a film", None, ("negative", "positive"))

    def asked(**asking: Any) -> Any:
        settings = Asking(max_tokens=1, **asking)
        teacher = Teacher(endpoint=url, model=str(tmp_path), asking=settings)
        endpoint = Endpoint(teacher, prompt, "teachers.llm", None, threading.Event())
        try:
            return endpoint.ask(question, 0)
        finally:
            endpoint.close()

    process, url = served(tmp_path)
    try:
        reply = asked(answers="single")
        assert isinstance(reply.said, Answer | Unparsed)
        assert isinstance(reply.said, Answer), reply
        assert reply.said.best in prompt.classes
        assert reply.tokens is not None
        assert reply.tokens[0] > 10
        without = asked(answers="logprobs").said  # the server has none, and leaves the request for them aside
        assert isinstance(without, Answer)
        assert without.logprobs is None
    finally:
        process.terminate()
        process.wait()
