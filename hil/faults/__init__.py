"""The fault injector: faults as values, the places that they hit, and one call that does it.

    subject = Subject(models.cadet_path())
    fault = draw("weights", subject, seed=7, model="upset", where={"roles": ["scale"]})
    injection = inject(fault, Victim(subject, image=image))
    print(injection)                       # what was flipped: tensor, block, field, bit, before, after
    injection.undo()

Others add fault models, targets and protections by entry point: `FaultModel`, `Target`, `Protection`.
"""

from hil.faults.draw import draw
from hil.faults.fault import Fault, Instant
from hil.faults.injection import Change, Injection, inject
from hil.faults.models import FaultModel, model_of
from hil.faults.places import Place
from hil.faults.protection import Protection, protection_of
from hil.faults.subject import Subject
from hil.faults.targets import Target, target_of
from hil.faults.upset import Upset
from hil.faults.victim import Victim

__all__ = [
    "Change",
    "Fault",
    "FaultModel",
    "Injection",
    "Instant",
    "Place",
    "Protection",
    "Subject",
    "Target",
    "Upset",
    "Victim",
    "draw",
    "inject",
    "model_of",
    "protection_of",
    "target_of",
]
