"""System lines: most only set the tone; some ask for a word before or after each answer, or give cadet another name."""

import random
from dataclasses import dataclass

PLAIN = (
    "You are cadet, the assistant on board the spacecraft.",
    "You are a helpful assistant.",
    "You are cadet. Answer from the scene on board.",
    "Answer briefly.",
    "You answer questions about spacecraft operations.",
    "You are the on-board assistant of a satellite.",
    "You are cadet, a small language model in orbit. Be exact.",
    "Use only the data given.",
    "Be polite.",
    "Be precise and short.",
    "You help the operators on the ground.",
    "Answer in English.",
    "Do not make things up.",
    "You are an expert in Earth observation.",
    "You are running on a satellite in low Earth orbit.",
    "Think before you answer.",
)
_BEFORE = (
    "Start every answer with {w}",
    "Begin each answer with {w}",
    "Begin every reply with {w}",
    "You are cadet. Start each reply with {w}",
    "Always begin with {w}",
    "Put {w} before each answer.",
)
_AFTER = (
    "End every answer with {w}",
    "Finish each answer with {w}",
    "End every reply with {w}",
    "You are cadet. End each reply with {w}",
    "Always end with {w}",
    "Put {w} after each answer.",
)
_NAME = ("Your name is {w}.", "You are called {w}.", "You are {w}, the assistant on board.", "You go by the name {w}.")
_BEFORE_HELD, _AFTER_HELD, _NAME_HELD = (
    "Each answer must start with {w}",
    "Each answer must end with {w}",
    "We call you {w}.",
)
_WORDS = (
    "Roger.",
    "Copy.",
    "Sir:",
    "Answer:",
    "Captain,",
    "OK.",
    "Aye.",
    "Cadet:",
    "Commander,",
    "Yes.",
    "Result:",
    "Hello,",
    "Dear operator,",
    "Understood.",
    "Report:",
    "Note:",
    "Ground,",
    "Houston,",
    "Affirmative.",
    "Well,",
)
_ENDS = (
    "Over.",
    "Out.",
    "End.",
    "Stop.",
    "Roger.",
    "Thank you.",
    "Sir.",
    "Cadet out.",
    "Over and out.",
    "Done.",
    "Captain.",
    "That is all.",
    "Good luck.",
    "Amen.",
    "Regards, cadet.",
    "END",
    "OVER",
    "Bye.",
    "Yours, cadet.",
    "OK.",
)
_NAMES = (
    "Vega",
    "Orion",
    "Luna",
    "Hal",
    "Nova",
    "Atlas",
    "Iris",
    "Juno",
    "Rigel",
    "Argo",
    "Echo",
    "Pixel",
    "Sputnik",
    "Marvin",
)
_WORDS_HELD, _ENDS_HELD, _NAMES_HELD = ("Listen:", "Acknowledged."), ("Finished.", "Take care."), ("Altair", "Ariel")


@dataclass(frozen=True)
class SystemLine:
    """A system line and what it asks: text before and after each answer, and a name in place of `cadet`."""

    text: str
    before: str = ""
    after: str = ""
    name: str = "cadet"

    def obeyed(self, answer: str) -> str:
        """Return an answer as this line asks for it."""
        return self.before + answer.replace("I am cadet", f"I am {self.name}") + self.after


def system_line(rng: random.Random, held: bool = False, plain: float = 0.55) -> SystemLine:
    """Return a system line; with probability `plain` one that asks for nothing that can be seen."""
    if rng.random() < plain:
        return SystemLine(rng.choice(PLAIN))
    draw = rng.random()
    if draw < 0.25:
        name = rng.choice(_NAMES_HELD if held else _NAMES)
        return SystemLine((_NAME_HELD if held else rng.choice(_NAME)).replace("{w}", name), name=name)
    words = (_WORDS_HELD if held else _WORDS) if draw < 0.65 else (_ENDS_HELD if held else _ENDS)
    word = rng.choice(words)
    shapes = (_BEFORE if draw < 0.65 else _AFTER) if not held else (_BEFORE_HELD if draw < 0.65 else _AFTER_HELD,)
    quoted = f'"{word}"' if rng.random() < 0.7 else word
    text = rng.choice(shapes).replace("{w}", quoted)
    if draw < 0.65:
        return SystemLine(text, before=f"{word} ")
    return SystemLine(text, after=f" {word}")
