"""The bench's door into a child: exact instants to strike at, and compute faults (docs/contract.md §7.4).

Shut unless `faults.allowed` is set: then every request to hold or to arm is refused. Nothing here runs for a query that
asks for neither: an armed one is computed in a context of its own, since a context's eval callback is fixed when it is
made and is called for every node of the graph. Its arithmetic is bit-identical to the plain context's (tests).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from flight.inference.binding import llama_cpp
from flight.inference.errors import QueryRefused
from flight.inference.library import loaded
from flight.inference.protocol import Arm, Held, Indication, Struck

EvalCallback = llama_cpp.ggml_backend_sched_eval_callback
"""bool (ggml_tensor *, bool ask, void *): asked whether it wants to see a node, then shown it once it is computed."""


class Listener(Protocol):
    """What the port needs of a child's `Duty`."""

    def send(self, message: Indication) -> None: ...
    def hold(self) -> None: ...


class FaultPort:
    """Hold points and armed compute faults of the query that runs.

    Whoever decodes keeps two values: `evaluation`, the count of answer tokens when the evaluation under way began, and
    `memory`, the handle of the memory of the context in use.
    """

    def __init__(self, *, allowed: bool, duty: Listener) -> None:
        self.allowed = allowed
        self.evaluation = 0
        self.memory: int | None = None
        self._duty = duty
        self._id = ""
        self._holds: frozenset[int] = frozenset()
        self._armed: list[_Armed] = []
        self._struck: list[Struck] = []
        self._tensors: _Tensors | None = None
        self.watch: Final = EvalCallback(self._on_node)

    def open(self, query_id: str, hold_at: Sequence[int], arm: Sequence[Arm]) -> bool:
        """Take what a message asks for; says whether it is to be computed in a context made with `watch`.

        Raises `QueryRefused` (`faults_not_allowed`).
        """
        if not self.allowed and (hold_at or arm):
            raise QueryRefused("faults_not_allowed", "this flight process was not started with --allow-faults")
        self.evaluation = 0
        self._id = query_id
        self._holds = frozenset(hold_at)
        self._armed = [_Armed(one) for one in arm]
        self._struck = []
        if self._armed and self._tensors is None:
            self._tensors = _Tensors()
        return bool(self._armed)

    def hold(self, at: int) -> None:
        """Stand still if a hold was asked for at this point. Raises what the sockets raise."""
        if at in self._holds:
            self._duty.send(Held(id=self._id, at=at, memory=self.memory or 0))
            self._duty.hold()

    def close(self) -> None:
        """The query has ended: say which faults struck, and forget the rest."""
        for message in self._struck:
            self._duty.send(message)
        self._holds = frozenset()
        self._armed = []
        self._struck = []

    def _on_node(self, tensor: int, ask: bool, _user: Any) -> bool:
        """Called by llama.cpp, where no exception may pass."""
        if not self._armed or self._tensors is None:
            return not ask
        if ask:
            name = self._tensors.name(tensor)
            # every one of this name counts, so no `any`: it would stop at the first
            return sum(one.wants(name, self.evaluation) for one in self._armed) > 0
        for one in [one for one in self._armed if one.due]:
            self._armed.remove(one)
            self._struck.append(self._tensors.strike(tensor, one.arm, self._id))
        return True


class _Armed:
    """An `Arm` that waits for its node."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        self.due = False
        self._left = arm.occurrence

    def wants(self, name: str, evaluation: int) -> bool:
        """Whether the node of this name is the one."""
        if name != self.arm.tensor or evaluation != self.arm.token:
            return False
        self.due = self._left == 0
        self._left -= 1
        return self.due


class _Tensors:
    """ggml's own accessors of a tensor (ggml.h), which llama-cpp-python does not bind."""

    def __init__(self) -> None:
        library = loaded("libggml-base")
        self._name = _accessor(library, "ggml_get_name", ctypes.c_char_p)
        self._data = _accessor(library, "ggml_get_data", ctypes.c_void_p)
        self._elements = _accessor(library, "ggml_nelements", ctypes.c_int64)
        self._size = _accessor(library, "ggml_element_size", ctypes.c_size_t)

    def name(self, tensor: int) -> str:
        """The tensor's name in the graph."""
        name: bytes = self._name(tensor)
        return name.decode("ascii", "replace")

    def strike(self, tensor: int, arm: Arm, query_id: str) -> Struck:
        """Flip the bit."""
        elements, size = self._elements(tensor), self._size(tensor)
        value = (ctypes.c_ubyte * size).from_address(self._data(tensor) + arm.element % elements * size)
        before = bytes(value).hex()
        byte, bit = divmod(arm.bit % (8 * size), 8)
        value[byte] ^= 1 << bit
        return Struck(id=query_id, arm=arm, elements=elements, before=before, after=bytes(value).hex())


def _accessor(library: ctypes.CDLL, name: str, result: Any) -> Callable[[int], Any]:
    function = library[name]
    function.restype = result
    function.argtypes = [ctypes.c_void_p]
    return function
