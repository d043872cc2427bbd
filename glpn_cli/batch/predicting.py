"""What `predict` puts through the engine: pictures in, depth maps out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glpn_cli.batch.naming import Destination, NameTemplate, choose_formats
from glpn_cli.batch.outcome import FLAT
from glpn_cli.batch.plan import Plan, Task, make_plan
from glpn_cli.batch.policies import Existing
from glpn_cli.batch.running import Written, write_result
from glpn_cli.depth_files import FORMATS, Record, Writer, make_writer
from glpn_cli.images import ImageSource, Picture
from glpn_cli.models.recipe import Recipe
from glpn_cli.prediction import DepthMap, Provenance, Result

if TYPE_CHECKING:
    from glpn_cli.predictor import DepthEstimator


@dataclass(frozen=True)
class OutputChoice:
    """Where results go and in which form, as the command line says it.

    formats:     a comma-separated list; None is the output file's extension, or the command's default
    depth_scale: stored units per metre, for integers
    """

    output: str = "."
    formats: str | None = None
    name: NameTemplate = NameTemplate()  # noqa: RUF009 - frozen
    depth_scale: float | None = None
    existing: Existing = Existing.SKIP

    @property
    def destination(self) -> Destination:
        """Where results go. Raises UsageError."""
        return Destination.parse(self.output)


def plan_predictions(sources: Sequence[ImageSource], recipe: Recipe, choice: OutputChoice) -> Plan[ImageSource]:
    """Decide which picture becomes which files. Raises UsageError where that makes no sense."""
    destination = choice.destination
    default = "png16" if recipe.kind.is_metric else "tiff"
    formats = choose_formats(choice.formats, destination, default=default, allowed=list(FORMATS))
    writers = [
        make_writer(name, kind=recipe.kind, limit_m=recipe.limit_m, depth_scale=choice.depth_scale) for name in formats
    ]

    def expect(source: ImageSource, writer: Writer) -> Record | None:
        return writer.expect(source.name, kind=recipe.kind, provenance=recipe.provenance)

    return make_plan(
        sources,
        writers,
        destination=destination,
        template=choice.name,
        model=recipe.model.name,
        existing=choice.existing,
        expect=expect,
    )


@dataclass(frozen=True, eq=False)
class Answer:
    """A depth map and how it was made."""

    depth: DepthMap
    provenance: Provenance | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """A model to be opened when a run starts.

    device:  auto, cpu, mps, cuda, cuda:N
    threads: of torch; None is all cores that this process may use
    """

    recipe: Recipe
    device: str = "auto"
    threads: int | None = None

    def open(self) -> DepthEstimator:
        """Import torch and load the weights."""
        from glpn_cli.devices import cores
        from glpn_cli.predictor import DepthEstimator

        return DepthEstimator(self.recipe, device=self.device, threads=self.threads or cores())

    def network_size(self, picture: Picture) -> tuple[int, int]:
        """(h, w) that the network will see of a picture."""
        return self.recipe.network_size(picture.full_size)


class PredictStages:
    """Pictures through a network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._estimator: DepthEstimator | None = None

    def open(self) -> None:
        """Load the model."""
        self._estimator = self._network.open()

    def decode(self, task: Task[ImageSource]) -> Picture:
        """Read the picture."""
        return task.source.read()

    def group(self, decoded: Picture) -> Hashable:
        """Pictures of one network size go together."""
        return self._network.network_size(decoded)

    def infer(self, batch: Sequence[Picture]) -> list[Answer]:
        """Depth for pictures of one network size."""
        assert self._estimator is not None
        return ask(self._estimator, batch)

    def finish(self, task: Task[ImageSource], answer: Answer) -> Written:
        """Write the files."""
        result = Result(answer.depth, task.source, answer.provenance, warnings=answer.warnings)
        return write_result(task, result)


def ask(estimator: DepthEstimator, pictures: Sequence[Picture]) -> list[Answer]:
    """Depth for pictures of one network size, with what is odd about each."""
    depths = estimator.predict_pictures(pictures)
    return [
        Answer(depth, estimator.provenance(picture), picture.warnings + odd_depth(depth))
        for picture, depth in zip(pictures, depths, strict=True)
    ]


def odd_depth(depth: DepthMap) -> tuple[str, ...]:
    """W_FLAT where a map of more than one pixel is the same everywhere."""
    extent = depth.extent()
    return (FLAT,) if extent is not None and extent[0] == extent[1] and depth.values.size > 1 else ()
