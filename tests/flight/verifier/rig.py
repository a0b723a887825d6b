"""A gate over a real image of cadet, and the engine's own path in this process to make answers with."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gguf

from flight.inference import binding
from flight.inference.decoder import Decoder
from flight.inference.model import Model
from flight.inference.prompt import PromptMaker
from flight.inference.protocol import ChatMessage, Run
from flight.inference.sampling import Sampler
from flight.inference.settings import EngineSettings
from flight.inference.thinking import ThinkingSplitter
from flight.integrity import prepare as prepare_image
from flight.integrity.guard import Guard, GuardSettings, prepare
from flight.verifier.gate import Gate
from flight.verifier.protocol import Check
from flight.verifier.settings import VerifierSettings
from models.prompt import user_message

SCENE = """\
VESSELS
V12 AIS ON pos 12.10N 101.22E hdg 085 spd 14.2 len 180
V34 AIS OFF pos 12.31N 101.07E hdg 310 spd 3.1 len 42
V56 AIS OFF pos 12.02N 101.45E hdg 172 spd 22.5 len 96
"""
QUESTION = user_message(SCENE, "Which vessels are dark?")


def run_for(text: str = QUESTION, **changes: Any) -> Run:
    """What engine and verifier are asked."""
    values: dict[str, Any] = {
        "id": "00000000000000aa",
        "attempt": 0,
        "messages": (ChatMessage(role="user", content=text),),
        "thinking": False,
        "max_tokens": 60,
        "time_budget_s": 600.0,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "seed": 0,
        "pace": 0.0,
    }
    return Run(**{**values, **changes})


@dataclass
class Rig:
    """One image with its guard. `answer` runs the engine's path; `check` asks the gate."""

    model: Path
    folder: Path
    image: Path = field(init=False)
    settings: VerifierSettings = field(init=False)
    gate: Gate = field(init=False)
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        binding.start()
        shm = self.folder / "shm"
        shm.mkdir()
        image = prepare_image(self.model, data_dir=self.folder, shm_dir=shm)
        self.image = image.path
        engine = EngineSettings(
            image=image.path, image_sha256=image.sha256, name="cadet", n_ctx=0, threads=1, n_batch=512, n_ubatch=512
        )
        guard = GuardSettings.of(self.model, image.path, self.folder)
        prepare(guard)
        self.settings = VerifierSettings(
            engine=engine,
            guard=guard,
            pages=True,
            repair=True,
            replay=True,
            margin=0.3,
            uncalibrated=0.3,
            self_test_s=60.0,
        )
        self.guard = Guard.open(guard)
        self.gate = Gate(self.settings, self.guard)
        self._engine_model = Model(engine, lambda: True)
        self.maker = PromptMaker(self._engine_model)
        self.decoder = Decoder(self._engine_model)
        self._offsets = {t.name: int(t.data_offset) for t in gguf.GGUFReader(self.model).tensors}

    def close(self) -> None:
        """Let everything go."""
        self.gate.close()
        self.guard.close()
        self.decoder.close()
        self._engine_model.close()

    def other_gate(self, **changes: Any) -> Gate:
        """A gate over the same image with a protection switched off, or another margin."""
        return Gate(self.settings.model_copy(update=changes), self.guard)

    def answer(self, run: Run, meddle: Any = None, forced: Mapping[int, int] = MappingProxyType({})) -> Check:
        """The engine's answer as core hands it to the gate. `meddle(tokens so far)` is called before every step.

        `forced`: tokens that it takes at these positions, whatever it would choose.
        """
        prompt = self.maker.make(run.messages, thinking=run.thinking)
        self.decoder.clear()
        self.decoder.prefill(prompt.tokens, lambda: False, lambda _done: None)
        limit = min(run.max_tokens, self.decoder.n_ctx - len(prompt.tokens))
        tokens: list[int] = []
        stop = "length"
        with Sampler(temperature=run.temperature, top_p=run.top_p, top_k=run.top_k, seed=run.seed) as sampler:
            while len(tokens) < limit:
                token = self.decoder.sample(sampler, len(prompt.tokens) + len(tokens))
                token = forced.get(len(tokens), token)
                if self.maker.vocabulary.ends(token):
                    stop = "eos"
                    break
                tokens.append(token)
                if len(tokens) < limit:
                    if meddle is not None:
                        meddle(len(tokens))
                    self.decoder.step(token)
        return self.told(run, tokens, stop)

    def told(self, run: Run, tokens: list[int], stop: str) -> Check:
        """The check of these tokens, everything else as it follows from them."""
        prompt = self.maker.make(run.messages, thinking=run.thinking)
        splitter = ThinkingSplitter(self.maker.marks, begun=prompt.thinking_begun)
        for token in tokens:
            splitter.push(token, self.maker.vocabulary.piece(token))
        answer, thinking = splitter.finish()
        return Check.model_validate(
            {
                "id": run.id,
                "attempt": 1,
                "assurance": "full",
                "run": run,
                "token_ids": tuple(tokens),
                "prompt_sha256": prompt.sha256,
                "answer_sha256": hashlib.sha256(answer).hexdigest(),
                "thinking_sha256": hashlib.sha256(thinking).hexdigest(),
                "stop": stop,
                "suspect": False,
            }
        )

    def write(self, tensor: str, data: bytes, at: int = 0) -> bytes:
        """Write into a tensor of the image, as radiation would; returns what was there."""
        offset = self._offsets[tensor] + at
        with self.image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            before = bytes(memory[offset : offset + len(data)])
            memory[offset : offset + len(data)] = data
        return before

    def flip(self, tensor: str, at: int = 1, bit: int = 6) -> None:
        """Flip one bit of a tensor; the default is the high bit of a Q8_0 block's scale: times or by 65,536."""
        (byte,) = self.write(tensor, b"\0", at)
        self.write(tensor, bytes([byte ^ 1 << bit]), at)

    def damage(self) -> None:
        """One flip that changes answers from the first token on: a weight block of the third layer, times 65,536."""
        self.flip("blk.2.ffn_down.weight")
