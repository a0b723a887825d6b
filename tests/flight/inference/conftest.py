"""A tiny real GGUF with random weights, and real engine processes to ask."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from flight.control import ControlChannel
from flight.inference.channel import FramedSocket
from flight.inference.errors import PeerClosed
from flight.inference.protocol import (
    ChatMessage,
    Done,
    Failed,
    Indication,
    Ready,
    Refused,
    Request,
    Run,
    Text,
    parse_indication,
)
from flight.inference.settings import EngineSettings
from flight.integrity import prepare

DEADLINE_S = 60.0

# The constructs of Qwen3's official template that matter here: the system message first, thinking text of earlier
# answers cut, roles, `enable_thinking` false closing an empty block.
TEMPLATE = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' + content }}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

SPECIALS = {"<|endoftext|>": 3, "<|im_start|>": 3, "<|im_end|>": 3, "<think>": 4, "</think>": 4}
"""Text to GGUF token type (3 control, 4 user-defined), as in Qwen3's own files."""


def byte_letters() -> list[str]:
    """The letter of each byte in byte-level BPE (Radford et al. 2019, `bytes_to_unicode`)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = [""] * 256, 0
    for byte in range(256):
        if byte in plain:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(256 + extra)
            extra += 1
    return letters


def write_tiny(
    path: Path,
    *,
    template: str | None = TEMPLATE,
    context: int = 512,
    layers: int = 2,
    width: int = 64,
    bias: dict[str, float] | None = None,
    spm: bool = False,
) -> Path:
    """A Qwen3-architecture GGUF with random weights in Q8_0.

    `bias` multiplies the output weights of special tokens; without it none ends an answer by chance. `spm`: with a
    SentencePiece vocabulary (Llama 2, Mistral, Phi 3), which puts a space before a text, instead of byte-level BPE.
    """
    bias = {"<|im_end|>": 0.0, "<|endoftext|>": 0.0, **(bias or {})}
    rng = np.random.default_rng(7)
    bytes_of = [f"<0x{byte:02X}>" for byte in range(256)] if spm else byte_letters()
    words = ["\u2581", "a", "b", "c", "\u2581a"] if spm else ["on", "er"]
    tokens = [*bytes_of, *words, *SPECIALS]
    types = [6 if spm else 1] * 256 + [1] * len(words) + list(SPECIALS.values())  # 1 normal, 6 byte
    heads, kv_heads, head = 4, 2, 32
    out = gguf.GGUFWriter(str(path), "qwen3")
    out.add_name("tiny")
    out.add_file_type(7)  # mostly Q8_0
    out.add_context_length(context)
    out.add_embedding_length(width)
    out.add_block_count(layers)
    out.add_feed_forward_length(2 * width)
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_key_length(head)
    out.add_value_length(head)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(10000.0)
    out.add_token_list(tokens)
    out.add_token_types(types)
    if spm:
        out.add_tokenizer_model("llama")
        out.add_token_scores([-float(number) for number in range(len(tokens))])
        out.add_unk_token_id(0)
        out.add_bos_token_id(tokens.index("<|endoftext|>"))
    else:
        out.add_tokenizer_model("gpt2")
        out.add_tokenizer_pre("qwen2")
        out.add_token_merges(["o n", "e r"])
    out.add_eos_token_id(tokens.index("<|im_end|>"))
    out.add_pad_token_id(tokens.index("<|endoftext|>"))
    out.add_add_bos_token(False)
    if template is not None:
        out.add_chat_template(template)

    def norm(name: str, size: int) -> None:
        out.add_tensor(name, np.ones(size, np.float32))

    def matrix(name: str, rows: int, columns: int, scale: float = 1.0) -> None:
        weights = rng.normal(0, scale / np.sqrt(columns), (rows, columns)).astype(np.float32)
        if name == "output.weight":
            for text, factor in bias.items():
                weights[tokens.index(text)] *= factor
        q8 = gguf.GGMLQuantizationType.Q8_0
        out.add_tensor(name, gguf.quants.quantize(weights, q8), raw_dtype=q8)

    matrix("token_embd.weight", len(tokens), width, scale=8.0)
    for layer in range(layers):
        block = f"blk.{layer}."
        norm(block + "attn_norm.weight", width)
        matrix(block + "attn_q.weight", heads * head, width)
        matrix(block + "attn_k.weight", kv_heads * head, width)
        matrix(block + "attn_v.weight", kv_heads * head, width)
        norm(block + "attn_q_norm.weight", head)
        norm(block + "attn_k_norm.weight", head)
        matrix(block + "attn_output.weight", width, heads * head)
        norm(block + "ffn_norm.weight", width)
        matrix(block + "ffn_gate.weight", 2 * width, width)
        matrix(block + "ffn_up.weight", 2 * width, width)
        matrix(block + "ffn_down.weight", width, 2 * width)
    norm("output_norm.weight", width)
    matrix("output.weight", len(tokens), width, scale=4.0)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


@dataclass
class Outcome:
    """All that came about one query."""

    messages: list[Indication] = field(default_factory=list)

    @property
    def last(self) -> Indication:
        return self.messages[-1]

    @property
    def done(self) -> Done:
        assert isinstance(self.last, Done), self.last
        return self.last

    @property
    def answer(self) -> bytes:
        return b"".join(m.answer for m in self.messages if isinstance(m, Text))

    @property
    def thinking(self) -> bytes:
        return b"".join(m.thinking for m in self.messages if isinstance(m, Text))


class EnginePeer:
    """A real engine child, with this test as its supervisor and its core."""

    def __init__(self, settings: EngineSettings) -> None:
        self.address = f"@orbitlm-test-{secrets.token_hex(8)}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind("\0" + self.address[1:])
        self._listener.listen(1)
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "flight.inference", "--control-fd", str(theirs.fileno())]
            command += ["--parent", str(os.getpid()), "--core-address", self.address]
            self.process = subprocess.Popen(
                [*command, "--settings", settings.model_dump_json()],
                pass_fds=[theirs.fileno()],
                stderr=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self.control = ControlChannel(ours)
        self.beats: list[dict[str, Any]] = []
        self.unfit = ""
        self._core: FramedSocket | None = None
        self._inbox: list[Indication] = []

    @property
    def core(self) -> FramedSocket:
        assert self._core is not None
        return self._core

    def ready(self) -> Ready:
        """Wait for the engine's first message."""
        assert select.select([self._listener], [], [], DEADLINE_S)[0], self.stderr()
        self._core = FramedSocket(self._listener.accept()[0])
        message = self.next()
        assert isinstance(message, Ready)
        return message

    def send(self, request: Request) -> None:
        self.core.send(request)

    def next(self) -> Indication:
        """The next message to core."""
        end = time.monotonic() + DEADLINE_S
        while not self._inbox:
            assert time.monotonic() < end, "the engine is silent"
            select.select([self.core, self.control], [], [], 1.0)
            self.hear()
            self._inbox += [parse_indication(message) for message in self.core.receive()]
        return self._inbox.pop(0)

    def rest(self) -> list[Indication]:
        """What an engine that has left had said to core."""
        with contextlib.suppress(PeerClosed):
            while True:
                self._inbox += [parse_indication(message) for message in self.core.receive()]
        return self._inbox

    def hear(self) -> None:
        """Take in what the engine told its supervisor."""
        for message in self.control.receive():
            if "unfit" in message:
                self.unfit = message["unfit"]
            else:
                self.beats.append(message)

    def wait_beat(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a beat that satisfies `wanted`."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            select.select([self.control], [], [], 1.0)
            self.hear()
            for beat in self.beats:
                if wanted(beat):
                    return beat
        raise AssertionError(f"no such beat among {self.beats[-5:]}")

    def finish(self) -> Outcome:
        """All messages up to the end of the running query."""
        outcome = Outcome()
        end = time.monotonic() + DEADLINE_S
        while True:
            assert time.monotonic() < end, f"the query does not end: {outcome.messages[-3:]}"
            outcome.messages.append(self.next())
            if isinstance(outcome.last, Done | Refused | Failed):
                return outcome

    def ask(self, question: str = "Which vessels are dark?", **changes: Any) -> Outcome:
        self.send(query(question, **changes))
        return self.finish()

    def wait(self) -> int:
        """The exit status of the engine."""
        code = self.process.wait(DEADLINE_S)
        self.hear()
        return code

    def outcome(self) -> str:
        """How its start went: ready, refused, or died."""
        end = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < end, "the engine neither starts nor leaves"
            if select.select([self._listener], [], [], 0.05)[0]:
                self.ready()
                return "ready"
        self.hear()
        return "refused" if self.unfit else "died"

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        self._listener.close()
        if self._core is not None:
            self._core.close()
        self.control.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


def query(question: str, *, messages: list[ChatMessage] | None = None, **changes: Any) -> Run:
    """A run with everything at its plainest: greedy, no thinking, 40 tokens."""
    plain = {
        "id": "00000000000000aa",
        "attempt": 1,
        "messages": messages or [ChatMessage(role="user", content=question)],
        "thinking": False,
        "max_tokens": 40,
        "time_budget_s": 60.0,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "seed": 1,
        "pace": 0.0,
    }
    return Run.model_validate({**plain, **changes})


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, made once."""
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def write_model() -> Callable[..., Path]:
    """Writes a tiny model with other properties: see `write_tiny`."""
    return write_tiny


@pytest.fixture(scope="session")
def make_query() -> Callable[..., Run]:
    """Makes a run message: see `query`."""
    return query


@pytest.fixture
def settings_for(tmp_path: Path) -> Callable[..., EngineSettings]:
    """Settings for a model: its RAM image is prepared in the test's own directory."""

    def make(model: Path, **changes: Any) -> EngineSettings:
        shm = tmp_path / "shm"
        shm.mkdir(exist_ok=True)
        image = prepare(model, data_dir=tmp_path / "data", shm_dir=shm)
        plain = {"image": image.path, "image_sha256": image.sha256, "name": model.stem}
        return EngineSettings.model_validate(
            {**plain, "n_ctx": 0, "threads": 1, "n_batch": 512, "n_ubatch": 512, **changes}
        )

    return make


@pytest.fixture
def raw_settings() -> Callable[[Path], EngineSettings]:
    """Settings that point at a file as it is, good or not."""

    def make(file: Path) -> EngineSettings:
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        return EngineSettings(
            image=file, image_sha256=sha256, name=file.stem, n_ctx=0, threads=1, n_batch=512, n_ubatch=512
        )

    return make


@pytest.fixture
def start() -> Iterator[Callable[[EngineSettings], EnginePeer]]:
    """Starts real engine children, and ends them after the test."""
    peers: list[EnginePeer] = []

    def run(settings: EngineSettings) -> EnginePeer:
        peers.append(EnginePeer(settings))
        return peers[-1]

    yield run
    for peer in peers:
        peer.close()
