"""`glpn serve`: the bytes of predict, the records, the code of every bad upload, and who may ask."""

from __future__ import annotations

import base64
import io
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_rgb
from PIL import Image
from program_runs import RECORDS
from typer.testing import CliRunner

from glpn_cli.cli import app as program
from glpn_cli.images import ReadOptions
from glpn_cli.models.config_base import InputSize
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.pipeline.settings import ModelSettings
from glpn_cli.process_pool import Workers

starlette = pytest.importorskip("starlette", reason="the server needs the extra [serve]")
from starlette.testclient import TestClient  # noqa: E402 - after the check that it is there

from glpn_cli.serve.app import STATUS_OF, AppSettings, is_known_host, make_app  # noqa: E402
from glpn_cli.serve.server import check_access, is_loopback  # noqa: E402
from glpn_cli.serve.service import DepthService, clean_name  # noqa: E402

MODULES = ("glpn_cli.images", "glpn_cli.pipeline.sources")
HERE = "http://127.0.0.1"
MOST_BYTES = 2_000_000


def encoded(rgb: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, kind)
    return stream.getvalue()


PNG, JPEG = encoded(make_rgb(48, 64)), encoded(make_rgb(48, 64), "JPEG")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def make_service(model: Path, *, queue: int = 8, timeout_s: float = 30) -> DepthService:
    recipe = InferenceSettings(resolve_model(str(model)), input_size=InputSize(), precision="fp32")
    workers = Workers(2, timeout_s=timeout_s, modules=MODULES)
    reading = ReadOptions(1_000_000, workers=workers)
    return DepthService(ModelSettings(recipe, "cpu", 1), reading, queue=queue, workers=2)


@pytest.fixture(scope="module")
def client(tiny_model: Path) -> Iterator[TestClient]:
    settings = AppSettings(MOST_BYTES, 30)
    with TestClient(make_app(make_service(tiny_model), settings), base_url=HERE) as client:
        yield client


def predict(model: Path, folder: Path, data: bytes, name: str, kind: str) -> bytes:
    (folder / name).write_bytes(data)
    command = ["predict", str(folder / name), "-m", str(model), "--precision", "fp32", "--device", "cpu"]
    done = CliRunner().invoke(program, [*command, "--threads", "1", "-f", kind, "-o", "-"])
    assert done.exit_code == 0, done.stderr
    return done.stdout_bytes


@pytest.mark.parametrize("kind", ["png16", "npz", "color", "ply"])
def test_the_file_is_the_one_that_predict_writes(
    client: TestClient, tiny_model: Path, tmp_path: Path, kind: str
) -> None:
    expected = predict(tiny_model, tmp_path, JPEG, "a.jpg", kind)
    raw = client.post("/v1/depth", params={"format": kind, "name": "x/a.jpg"}, content=JPEG)
    form = client.post("/v1/depth", params={"format": kind}, files={"file": ("a.jpg", JPEG)})
    assert (raw.status_code, form.status_code) == (200, 200)
    assert raw.content == form.content == expected


def test_a_file_comes_with_the_warnings_of_its_record(client: TestClient) -> None:
    cloud = client.post("/v1/depth", params={"format": "ply"}, content=PNG)
    assert (cloud.status_code, cloud.headers["x-warnings"]) == (200, "W_FOV")
    assert "x-warnings" not in client.post("/v1/depth", content=PNG).headers


def test_without_a_word_it_is_a_16_bit_png(client: TestClient) -> None:
    answer = client.post("/v1/depth", content=PNG)
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).mode == "I;16"


def test_the_record_is_of_the_documented_schema_and_carries_the_file_where_asked(client: TestClient) -> None:
    json_only = {"Accept": "application/json"}
    plain = client.post("/v1/depth", content=PNG, headers=json_only).json()
    both = client.post("/v1/depth", params={"format": "npy"}, content=PNG, headers=json_only).json()
    for record in (plain, both):
        RECORDS.validate(record)
        assert (record["status"], record["width"], record["height"], record["kind"]) == ("ok", 64, 48, "metric")
    assert plain["outputs"] == []
    values = np.load(io.BytesIO(base64.b64decode(both["outputs"][0]["data"])))
    assert values.shape == (48, 64)
    assert values.max() == pytest.approx(both["max"], rel=1e-5)


BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "empty": ({"content": b""}, 400, "E_USAGE"),
    "no picture": ({"content": b"hello there, this is text"}, 415, "E_UNSUPPORTED"),
    "lies about its type": (
        {"content": b"%PDF-1.7 nothing", "headers": {"Content-Type": "image/png"}},
        415,
        "E_UNSUPPORTED",
    ),
    "cut short": ({"content": JPEG[: len(JPEG) // 2]}, 422, "E_DECODE"),
    "cut PNG": ({"content": PNG[:-30]}, 422, "E_DECODE"),
    "bomb": ({"content": bomb(60_000, 60_000)}, 413, "E_TOO_LARGE"),
    "many bytes": ({"content": b"\xff" * 2_000_001}, 413, "E_TOO_LARGE"),
    "many bytes, untold": ({"content": iter([b"\xff" * 1_500_000] * 2)}, 413, "E_TOO_LARGE"),
    "unknown format": ({"content": PNG, "params": {"format": "gif"}}, 400, "E_USAGE"),
    "unknown parameter": ({"content": PNG, "params": {"size": "3"}}, 400, "E_USAGE"),
    "unknown as": ({"content": PNG, "params": {"as": "depth"}}, 400, "E_USAGE"),
    "form without a file": (
        {"data": {"a": "b"}, "files": {}, "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "E_USAGE",
    ),
    "broken form": (
        {"content": b"--x\r\nnothing", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        400,
        "E_USAGE",
    ),
    "fields beside the file": ({"data": {"format": "npy"}, "files": {"file": PNG}}, 400, "E_USAGE"),
    "two files": ({"files": [("a", PNG), ("b", PNG)]}, 400, "E_USAGE"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_gets_its_code_and_the_next_is_answered(client: TestClient, name: str) -> None:
    request, status, code = BAD[name]
    answer = client.post("/v1/depth", **request)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["hint"]
    assert client.post("/v1/depth", content=PNG).status_code == 200


def test_a_depth_map_is_told_and_greys_of_16_bits_must_be_said_to_be_a_picture(client: TestClient) -> None:
    made = client.post("/v1/depth", content=PNG).content
    assert client.post("/v1/depth", content=made).status_code == 415
    grey = encoded(make_rgb(48, 64)[..., 0].astype(np.uint16) * 257)
    assert client.post("/v1/depth", content=grey).json()["error"]["code"] == "E_AMBIGUOUS"
    assert client.post("/v1/depth", params={"as": "picture"}, content=grey).status_code == 200


def test_a_name_of_a_client_is_a_label_and_never_a_path(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    answer = client.post("/v1/depth", params={"name": str(tmp_path / "secret.png")}, content=b"no picture")
    assert answer.status_code == 415
    assert clean_name("../../etc/passwd") == "passwd"
    assert clean_name("C:\\x\\a\nb.jpg") == "ab.jpg"
    assert clean_name("..") == ".."
    assert clean_name("/") == "picture"
    assert len(clean_name("x" * 5000)) == 200


def test_the_paths_around_it(client: TestClient) -> None:
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"
    assert client.post("/v1/depth", content=PNG).status_code == 200
    metrics = client.get("/metrics")
    assert 'glpn_http_requests_total{path="/v1/depth",status="200"}' in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "://" not in page.text.replace("http://www.w3.org/", "")
    for path, status in (("/healthz", 200), ("/nowhere", 404), ("/v1/depth", 405)):
        answer = client.get(path)
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_description_is_held_to_the_handlers(client: TestClient) -> None:
    api = client.get("/openapi.json").json()
    routes = {route.path: route.methods - {"HEAD"} for route in client.app.routes}  # type: ignore[attr-defined]
    assert routes == {path: {method.upper() for method in methods} for path, methods in api["paths"].items()}
    post = api["paths"]["/v1/depth"]["post"]
    statuses = set(post["responses"])
    assert {str(status) for status in STATUS_OF.values()} | {"200", "408", "503", "504"} <= statuses
    for kind in post["parameters"][0]["schema"]["enum"]:
        answer = client.post("/v1/depth", params={"format": kind}, content=PNG)
        assert answer.status_code == 200
        assert answer.headers["content-type"] in post["responses"]["200"]["content"]


def test_only_names_that_are_known_may_be_asked() -> None:
    names = frozenset({"localhost", "depth.example"})
    for host in ("localhost:8000", "LOCALHOST", "127.0.0.1:8", "[::1]:8000", "10.1.2.3", "depth.example"):
        assert is_known_host(host, names)
    for host in ("", "evil.example", "127.0.0.1.evil.example:80", "localhost:8000:1", "a b"):
        assert not is_known_host(host, names)


def test_a_foreign_host_or_site_is_refused(client: TestClient) -> None:
    assert client.post("/v1/depth", content=PNG, headers={"Host": "evil.example"}).status_code == 400
    assert client.post("/v1/depth", content=PNG, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/v1/depth", content=PNG, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_another_address_needs_a_token_or_a_word() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3"):
        assert is_loopback(host)
        check_access(host, token=None, no_auth=False)
    check_access("0.0.0.0", token="x" * 16, no_auth=False)
    check_access("0.0.0.0", token=None, no_auth=True)
    for host, token, no_auth in (("0.0.0.0", None, False), ("::", None, False), ("127.0.0.1", "x" * 16, True)):
        with pytest.raises(ValueError, match=r"auth|who"):
            check_access(host, token=token, no_auth=no_auth)


def test_the_program_refuses_before_it_opens_a_model(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    for options, words in (
        (["--host", "0.0.0.0"], "nothing says who may"),
        (["--token-file", str(tmp_path / "token")], "under 16"),
        (["--token-file", str(tmp_path / "none")], "cannot be read"),
        (["--timeout", "0"], "no time"),
    ):
        done = CliRunner().invoke(program, ["serve", *options])
        assert (done.exit_code, words in done.stderr) == (2, True), done.stderr


class Stuck(DepthService):
    """A service whose pictures are never done."""

    def __init__(self) -> None:
        self.queue, self.taken, self.ended = 2, [], None

    load = property(lambda self: sum(not each.cancelled() for each in self.taken))  # type: ignore[assignment]
    formats = ("png16",)  # type: ignore[assignment]
    is_ready = True  # type: ignore[assignment]

    def submit(self, data: bytes, **_: Any) -> Future[Any] | None:
        self.taken.append(Future())
        return self.taken[-1]

    def close(self) -> None:
        pass


def test_beyond_the_queue_503_comes_at_once_and_what_takes_too_long_is_given_up() -> None:
    settings = AppSettings(MOST_BYTES, 1.0)
    with TestClient(make_app(Stuck(), settings), base_url=HERE) as client, ThreadPoolExecutor(3) as pool:
        late = [pool.submit(client.post, "/v1/depth", content=PNG) for _ in range(2)]
        time.sleep(0.4)
        started = time.monotonic()
        answer = client.post("/v1/depth", content=PNG)
        assert time.monotonic() - started < 0.3
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert [each.result().status_code for each in late] == [504, 504]
        # Nobody waits for those any longer: there is room again.
        assert pool.submit(client.post, "/v1/depth", content=PNG).result().status_code == 504


def test_a_token_is_asked_for_where_pictures_are(tiny_model: Path) -> None:
    secret = "0123456789abcdef"
    with TestClient(make_app(Stuck(), AppSettings(MOST_BYTES, 0.2, secret)), base_url=HERE) as client:
        assert client.post("/v1/depth", content=PNG).status_code == 401
        assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/metrics", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
        assert client.get("/healthz").status_code == 200
        assert secret not in repr(AppSettings(MOST_BYTES, 1, secret))


def test_what_was_taken_is_answered_at_the_end_and_nothing_later(tiny_model: Path) -> None:
    service = make_service(tiny_model, queue=20)
    answers = [service.submit(PNG, name="a.png", format="png16") for _ in range(6)]
    gone = service.submit(PNG, name="b.png", format=None)
    assert gone is not None
    gone.cancel()
    service.close()
    assert all(each is not None and each.result(0).stdout for each in answers)
    assert not service.is_ready
    with pytest.raises(Exception, match="going down"):
        service.submit(PNG, name="a.png", format=None)
    assert service.load == 0


def test_a_service_with_a_full_queue_takes_nothing(tiny_model: Path) -> None:
    service = make_service(tiny_model, queue=1)
    first = service.submit(PNG, name="a.png", format=None)
    assert service.submit(PNG, name="a.png", format=None) is None
    assert first is not None
    first.result(30)
    service.close()
