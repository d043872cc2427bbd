"""How depth becomes points in space: the settings that `predict` and `export` take and that point clouds record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from glpn_cli.geometry import Axes, FocalChoice
from glpn_cli.prediction import Intrinsics


@dataclass(frozen=True)
class Cloud:
    """How depth becomes points in space.

    focal:     what was said about the focal length
    axes:      which way x, y and z go
    edge_cull: leave out points that hang between a foreground and a background
    size:      (H, W) of the map that the points are of; None until there is one
    camera:    the camera that they were seen by; None until it is known
    """

    focal: FocalChoice = field(default_factory=FocalChoice)
    axes: Axes = Axes.OPENCV
    edge_cull: bool = False
    size: tuple[int, int] | None = None
    camera: Intrinsics | None = None

    def to_fields(self) -> dict[str, str | float | None]:
        """The settings as a record carries them."""
        camera = self.camera
        return {
            "focal": self.focal.text,
            "axes": self.axes.value,
            "edge_cull": "yes" if self.edge_cull else "no",
            "size": None if self.size is None else f"{self.size[1]}x{self.size[0]}",
            "camera": None if camera is None else " ".join(map(repr, (camera.fx, camera.fy, camera.cx, camera.cy))),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Cloud:
        """Read `to_fields` back. Raises UsageError or ValueError where they make no sense."""
        size = camera = None
        if "size" in fields:
            width, height = (int(side) for side in fields["size"].split("x"))
            size = (height, width)
        if "camera" in fields:
            fx, fy, cx, cy = (float(number) for number in fields["camera"].split(" "))
            camera = Intrinsics(fx, fy, cx, cy, "file")
        return cls(
            FocalChoice(fields.get("focal", "auto")),
            Axes(fields["axes"]),
            fields.get("edge_cull") == "yes",
            size,
            camera,
        )
