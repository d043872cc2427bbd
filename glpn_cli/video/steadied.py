"""The results of a clip without flicker: each waits until those behind it are known."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from glpn_cli.errors import GlpnError
from glpn_cli.prediction import DepthMap, Result
from glpn_cli.video.frame import Frame
from glpn_cli.video.motion import enough_for_view
from glpn_cli.video.run import Results
from glpn_cli.video.steady import Steady


def steady_results(results: Results) -> Results:
    """The same results, steadied, in their order; errors pass at once. At most `2 * LOOK_AHEAD` maps are held."""
    steady: Steady | None = None
    waiting: deque[tuple[Frame, Result]] = deque()
    for frame, one in results:
        if isinstance(one, GlpnError) or not isinstance(one.prediction, DepthMap):
            yield frame, one
            continue
        if steady is None:
            camera = one.intrinsics
            is_known = camera is not None and camera.source != "assumed"
            steady = Steady(focal_px=camera.fx if camera is not None and is_known else None)
        waiting.append((frame, one))
        yield from _pair(waiting, steady.push(one.prediction, frame.read(at_least=enough_for_view).rgb))
    if steady is not None:
        yield from _pair(waiting, steady.flush())


def _pair(waiting: deque[tuple[Frame, Result]], depths: list[DepthMap]) -> Results:
    for depth in depths:
        frame, result = waiting.popleft()
        yield frame, replace(result, prediction=depth)
