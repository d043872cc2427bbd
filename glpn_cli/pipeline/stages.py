"""What the engine asks of a kind of run: to open what all tasks need, to decode, to infer, to finish."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

A = TypeVar("A")  # what the network answered
D = TypeVar("D")  # what came off the disk
_T_contra = TypeVar("_T_contra", contravariant=True)  # what to do
_W_co = TypeVar("_W_co", covariant=True)  # what was written


@dataclass(frozen=True)
class Width:
    """How much is inferred at once: batches side by side, each of so many tasks."""

    lanes: int = 1
    batch_size: int = 1


class Stages(Protocol[_T_contra, D, A, _W_co]):
    """What one kind of run does with each of its tasks. What a method raises becomes that task's error."""

    def open(self) -> Width | None:
        """Load what all tasks need. Called once, in the main thread, while the first tasks are being decoded.

        Says how much at once is quickest; None is one task at a time.
        """

    def decode(self, task: _T_contra) -> D:
        """Read it from disk. Called in threads."""

    def group(self, decoded: D) -> Hashable:
        """What tasks must have in common to share a batch; None for one that needs no company.

        Called in the main thread.
        """

    def infer(self, batch: Sequence[D]) -> Sequence[A]:
        """Answer a batch, one answer each. Called in the main thread, or in as many threads as there are lanes."""

    def finish(self, task: _T_contra, answer: A) -> _W_co:
        """Encode and publish. Called in threads."""


class StoredStages(Generic[A]):
    """The steps between reading and writing of what is an answer already: none."""

    def open(self) -> None:
        """There is nothing to open."""

    def group(self, decoded: A) -> Hashable:  # noqa: ARG002
        """It needs no company."""
        return None

    def infer(self, batch: Sequence[A]) -> Sequence[A]:
        """It is an answer already."""
        return batch
