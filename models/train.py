"""Training of cadet from nothing: generator, tokenizer, network, Muon and AdamW, checkpoints that resume.

Needs the `train` extra (PyTorch). Measured recipe and its traps: `models/README.md`.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.batches import IGNORED, Batch, Packer, pool
from models.network import Network, Shape
from models.tokenizer import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Plan:
    """What a training run is: its length in minutes of work, seed, batch, learning rates and threads."""

    minutes: float = 70.0
    seed: int = 1
    tokens_per_batch: int = 6144
    pool: int = 384
    muon_rate: float = 5e-3
    adam_rate: float = 3e-3
    hold: float = 0.5
    warmup_steps: int = 60
    weight_decay: float = 0.01
    threads: int = 1
    checkpoint_s: float = 180.0
    compiled: bool = True


@dataclass(frozen=True)
class Step:
    """What one step reports: number, minutes of work, tokens so far (padding not), loss per answer token, tokens/s."""

    number: int
    minutes: float
    tokens: int
    loss: float
    rate: float


def schedule(progress: float, step: int, plan: Plan) -> float:
    """Return the factor of the learning rates: a warm-up, a plateau, then straight to 2 % at the end of the time."""
    warm = min(1.0, (step + 1) / plan.warmup_steps)
    fall = max(0.02, min(1.0, (1.0 - progress) / (1.0 - plan.hold)))
    return warm * fall


def run(plan: Plan, folder: Path, report: Callable[[Step], None]) -> Path:
    """Train in `folder` until the plan's time is spent, resuming what is there; return the last checkpoint."""
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "tokenizer.json"
    if not vocabulary.exists():
        train_tokenizer().save(str(vocabulary))
    trainer = Trainer(plan, load_tokenizer(vocabulary), folder)
    trainer.resume()
    trainer.work(report)
    return trainer.checkpoint


class Objective(nn.Module):  # type: ignore[misc,unused-ignore]
    """Network and loss in one, so that they are compiled together (5 % faster than the loss apart)."""

    def __init__(self, network: Network) -> None:
        """Wrap a network."""
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, documents: Tensor, places: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy at `places` (indices into the flattened batch) against `targets`."""
        hidden = self.network(tokens, documents).flatten(0, 1)[places]
        return functional.cross_entropy(self.network.logits(hidden).float(), targets)


class Trainer:
    """One run: network, optimizers, place in the corpus."""

    def __init__(self, plan: Plan, tokenizer: "Tokenizer", folder: Path) -> None:
        """Build the network and its optimizers; nothing is trained yet."""
        self.plan = plan
        self.tokenizer = tokenizer
        self.folder = folder
        self.checkpoint = folder / "checkpoint.pt"
        self.network = Network(Shape(vocabulary=tokenizer.get_vocab_size()))
        matrices = [p for n, p in self.network.named_parameters() if p.ndim == 2 and not n.startswith("token_embd")]
        others = [p for n, p in self.network.named_parameters() if p.ndim != 2 or n.startswith("token_embd")]
        self.muon = torch.optim.Muon(
            matrices, lr=plan.muon_rate, weight_decay=plan.weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
        )
        self.adam = torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
        objective = Objective(self.network)
        self.objective: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = (
            torch.compile(objective, dynamic=False) if plan.compiled else objective
        )
        self.packer = Packer(plan.tokens_per_batch)
        self.steps = 0
        self.tokens = 0
        self.worked = 0.0
        self.next_conversation = plan.seed * 10_000_000

    @property
    def progress(self) -> float:
        """Return the share of the planned time that is spent."""
        return min(1.0, self.worked / (self.plan.minutes * 60))

    def resume(self) -> None:
        """Continue from the folder's checkpoint, where there is one."""
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.steps, self.tokens, self.worked = state["steps"], state["tokens"], state["worked"]
        self.next_conversation = state["next_conversation"]

    def save(self) -> None:
        """Write the checkpoint whole, then rename it into place."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
            "shape": self.network.shape.as_dict(),
            "plan": asdict(self.plan),
            "steps": self.steps,
            "tokens": self.tokens,
            "worked": self.worked,
            "next_conversation": self.next_conversation,
        }
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _stream(self) -> Iterator[Batch]:
        while True:
            documents = pool(self.tokenizer, self.next_conversation, self.progress, self.plan.pool)
            self.next_conversation += self.plan.pool
            found = self.packer.pack(documents)
            random.Random(self.next_conversation).shuffle(found)
            yield from found

    def _loss(self, batch: Batch) -> Tensor:
        tokens, labels = torch.tensor(batch.tokens), torch.tensor(batch.labels).flatten()
        documents = torch.tensor(batch.documents)
        places = (labels != IGNORED).nonzero().squeeze(1)
        targets = labels[places]
        for changing in (places, targets):
            torch._dynamo.mark_dynamic(changing, 0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.objective(tokens, documents, places, targets)

    def work(self, report: Callable[[Step], None]) -> None:
        """Take steps until the time is spent; a checkpoint every few minutes and at the end."""
        log = (self.folder / "log.jsonl").open("a", encoding="utf-8")
        before = saved = time.monotonic()
        recent, counted, taken, since = 0.0, 0, 0, self.worked
        for batch in self._stream():
            factor = schedule(self.progress, self.steps, self.plan)
            for optimizer, rate in ((self.muon, self.plan.muon_rate), (self.adam, self.plan.adam_rate)):
                for group in optimizer.param_groups:
                    group["lr"] = rate * factor
            loss = self._loss(batch)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            for optimizer in (self.muon, self.adam):
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            now = time.monotonic()
            self.worked += now - before
            before = now
            self.steps += 1
            counted += sum(number > 0 for row in batch.documents for number in row)
            recent += loss.item()
            taken += 1
            if self.steps % 20 == 0:
                self.tokens += counted
                rate = counted / max(self.worked - since, 1e-9)
                step = Step(self.steps, self.worked / 60, self.tokens, recent / taken, rate)
                log.write(json.dumps(asdict(step)) + "\n")
                log.flush()
                report(step)
                recent, counted, taken, since = 0.0, 0, 0, self.worked
            if now - saved > self.plan.checkpoint_s:
                self.save()
                saved = now
            if self.progress >= 1.0:
                break
        log.close()
        self.save()
