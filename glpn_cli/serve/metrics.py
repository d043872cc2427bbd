"""Counts and times of the server, as Prometheus reads them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from glpn_cli.errors import ErrorCode

_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """What was answered since the start. Not safe for threads: only the event loop's uses it."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, int]] = Counter()
        self._errors: Counter[ErrorCode] = Counter()
        self._times = [0] * (len(_BUCKETS_S) + 1)
        self._seconds = 0.0

    def count(self, path: str, status: int) -> None:
        """Count an answer."""
        self._answers[path, status] += 1

    def fail(self, code: ErrorCode) -> None:
        """Count a picture that could not be predicted."""
        self._errors[code] += 1

    def time(self, seconds: float) -> None:
        """Note how long a picture took from its arrival to its answer."""
        self._times[bisect_left(_BUCKETS_S, seconds)] += 1
        self._seconds += seconds

    def render(self, *, waiting: int, is_ready: bool) -> str:
        """The text format, version 0.0.4."""
        return "".join(f"{line}\n" for line in self._lines(waiting, is_ready))

    def _lines(self, waiting: int, is_ready: bool) -> Iterator[str]:
        yield "# TYPE glpn_http_requests_total counter"
        for (path, status), count in sorted(self._answers.items()):
            yield f'glpn_http_requests_total{{path="{path}",status="{status}"}} {count}'
        yield "# TYPE glpn_errors_total counter"
        for code, count in sorted(self._errors.items()):
            yield f'glpn_errors_total{{code="{code.value}"}} {count}'
        yield "# TYPE glpn_request_seconds histogram"
        below = 0
        for limit, count in zip((*map(str, _BUCKETS_S), "+Inf"), self._times, strict=True):
            below += count
            yield f'glpn_request_seconds_bucket{{le="{limit}"}} {below}'
        yield f"glpn_request_seconds_sum {self._seconds:.6f}"
        yield f"glpn_request_seconds_count {below}"
        yield "# TYPE glpn_queue_length gauge"
        yield f"glpn_queue_length {waiting}"
        yield "# TYPE glpn_ready gauge"
        yield f"glpn_ready {int(is_ready)}"
