"""A model that a run asks: opened when the run starts, for as much at once as is quickest."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from glpn_cli.depth_files.calibration import Calibration
from glpn_cli.devices import cores, memory_bytes, no_collection, set_threads
from glpn_cli.geometry import FocalChoice
from glpn_cli.images import ImageSource, Picture
from glpn_cli.models.settings import Recipe
from glpn_cli.pipeline.mishaps import start_thread
from glpn_cli.pipeline.settings import ModelSettings, OutputSettings
from glpn_cli.pipeline.stages import Width
from glpn_cli.pipeline.tasks import Task

if TYPE_CHECKING:
    from glpn_cli.predictor import DepthEstimator

_MEMORY_SHARE = 0.25
"""Of the memory that is free, for the activations of all pictures at once, as costs count them: without copies."""

_LARGEST_BATCH = 16
"""More at once gains nothing that was measured."""


@dataclass(frozen=True)
class Network:
    """A model to be opened when a run starts.

    device:  auto, cpu, mps, cuda, cuda:N
    threads: of torch; None is all cores that this process may use
    focal:   what is said about the cameras of the pictures
    calibration: what makes true metres of the answers
    uncertainty: ask how sure it is, too
    pictures: how many are named, done already or not, so that a run that goes on computes as the one that began; None
              where nobody knows
    """

    recipe: Recipe
    device: str = "auto"
    threads: int | None = None
    focal: FocalChoice = field(default_factory=FocalChoice)
    calibration: Calibration | None = None
    uncertainty: bool = False
    pictures: int | None = None

    @classmethod
    def of(cls, model: ModelSettings, outputs: OutputSettings) -> Network:
        """The model of a run, for what it makes of the answers."""
        focal = outputs.cloud.focal if outputs.cloud is not None else FocalChoice()
        return cls(model.inference, model.device, model.threads, focal, outputs.calibration, model.uncertainty)

    def expecting(self, pictures: Sequence[object]) -> Network:
        """The same for so many pictures."""
        return replace(self, pictures=len(pictures))

    def open(self) -> DepthEstimator:
        """Import torch and load the weights, and meanwhile take their checksum, which every result will state."""
        checksum = start_thread(self._take_checksum)
        with no_collection():
            from glpn_cli.predictor import DepthEstimator

        estimator = DepthEstimator(self.recipe, device=self.device, threads=self.threads or cores())
        checksum.join()
        return estimator

    def open_wide(self) -> tuple[DepthEstimator, Width]:
        """The same, for as much at once as is quickest.

        On a CPU lanes of few threads each: a thread that decodes or writes then holds up one of them and not all, and
        what a network does in one thread keeps nobody waiting. 16 pictures of 640x480 through the published size take
        7.0 s in two lanes of one thread each, and 8.5 s in one of two; mini takes 20 ms a picture instead of 28. On a
        GPU batches.
        """
        estimator = self.open()
        threads, most = self.threads or cores(), self._most_at_once(estimator.device)
        if estimator.device != "cpu":
            return estimator, Width(batch_size=min(most, _LARGEST_BATCH))
        lanes = min(threads, most)
        if lanes > 1:
            set_threads(threads // lanes)
        return estimator, Width(lanes=lanes)

    def _most_at_once(self, device: str) -> int:
        """How many pictures memory and the number of them bear, as far as their size is known: at least 1."""
        size, free = self.recipe.largest_network_size, memory_bytes(device)
        if size is None or free is None or self.pictures is None:
            return 1
        need = self.recipe.family.cost(self.recipe.config, size).activation_bytes
        return max(1, min(self.pictures, int(free * _MEMORY_SHARE) // need))

    def _take_checksum(self) -> None:
        with suppress(Exception):  # told to whoever asks for it next
            _ = self.recipe.weights_sha256

    def read(self, source: ImageSource) -> Picture:
        """The picture, with as many pixels as the network needs. Raises as `network_size` does, too."""
        picture = source.read(at_least=self.recipe.enough_pixels)
        self.network_size(picture)  # a size that cannot be is this picture's error, here in its own thread
        self.recipe.picture_factor(picture.full_size, picture.focal_35mm)  # and so is a lens that nobody knows
        return picture

    def network_size(self, picture: Picture) -> tuple[int, int]:
        """(h, w) that the network will see of a picture."""
        return self.recipe.network_size(picture.full_size)


class NetworkStages:
    """The first steps of pictures through a network, whatever it answers."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._opened: DepthEstimator | None = None

    @property
    def _estimator(self) -> DepthEstimator:
        assert self._opened is not None, "the run has not begun"
        return self._opened

    def open(self) -> Width:
        """Load the model."""
        self._opened, width = self._network.open_wide()
        return width

    def decode(self, task: Task[ImageSource]) -> Picture:
        """Read the picture."""
        return self._network.read(task.source)

    def group(self, decoded: Picture) -> Hashable:
        """Pictures of one network size go together."""
        return self._network.network_size(decoded)
