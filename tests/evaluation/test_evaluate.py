from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_model

from glpn_cli.data.samples import Sample
from glpn_cli.depth_files import make_writer
from glpn_cli.errors import ErrorCode, InputError, UsageError
from glpn_cli.evaluation.alignment import Alignment
from glpn_cli.evaluation.evaluate import Evaluation, evaluate
from glpn_cli.evaluation.metrics import Scores
from glpn_cli.evaluation.predictors import FolderPredictor, ModelPredictor, RowFit
from glpn_cli.evaluation.protocols import PROTOCOLS, Protocol
from glpn_cli.evaluation.report import heading, make_differences, make_rows, to_csv, to_json
from glpn_cli.images import ImageSource
from glpn_cli.models.resolve import resolve_model
from glpn_cli.models.settings import InferenceSettings
from glpn_cli.prediction import DepthKind, DepthMap, Provenance, Result


@dataclass(frozen=True)
class Scenes:
    """A few seeded depth maps; picture `broken` cannot be read, picture `empty` has no depth."""

    length: int = 6
    size: tuple[int, int] = (12, 16)
    broken: int = -1
    empty: int = -1
    name: str = "scenes"

    def name_of(self, index: int) -> str:
        return f"room/{index}.png"

    def read(self, index: int) -> Sample:
        if index == self.broken:
            raise InputError(f"{self.name_of(index)}: no depth file", code=ErrorCode.NOT_FOUND)
        depth = np.random.default_rng(index).uniform(1, 9, self.size).astype(np.float32)
        depth[0, :4] = 0
        if index == self.empty:
            depth[:] = 0
        return Sample(np.zeros((*self.size, 3), np.uint8), depth, name=self.name_of(index))


@dataclass(frozen=True)
class Oracle:
    """Knows the truth and bends it."""

    factor: float = 1.0
    name: str = "oracle"
    kind: DepthKind = DepthKind.METRIC
    missing: tuple[str, ...] = ()
    wrong_size: tuple[str, ...] = ()
    holes: bool = False
    knows_camera: bool = True
    noise: float = field(default=0.0)

    def describe(self) -> str:
        return f"the truth times {self.factor:g}"

    def lens_factor(self, sample: Sample) -> float | None:
        return None if sample.focal_px is None else sample.focal_px / 100

    def predict(self, sample: Sample) -> DepthMap:
        if sample.name in self.missing:
            raise InputError(f"{sample.name} has no map", code=ErrorCode.NOT_FOUND)
        values = np.where(sample.depth > 0, sample.depth, 1) * np.float32(self.factor)
        if self.noise:
            rng = np.random.default_rng(len(sample.name) + int(values.sum()))
            values = values * np.exp(rng.normal(0, self.noise, values.shape)).astype(np.float32)
        if self.kind is DepthKind.DISPARITY:
            values = 1 / values + 0.1
        valid = None
        if self.holes:
            valid = np.ones(values.shape, bool)
            valid[:, :8] = False
        if sample.name in self.wrong_size:
            values = values[:, :-1]
        return DepthMap(values.astype(np.float32), kind=self.kind, valid=valid)


def run(
    *predictors: Oracle | RowFit,
    source: Scenes | None = None,
    protocol: Protocol | None = None,
    align: str | None = None,
) -> tuple[Evaluation, ...]:
    rules, align_by = protocol or Protocol(), Alignment.parse_list(align)
    source = source or Scenes()
    begun = [Evaluation.begin(each, source, protocol=rules, align_by=align_by) for each in predictors]
    rows = list(evaluate(source, begun))
    assert rows == list(zip(*(each.pictures for each in begun), strict=True))
    return tuple(begun)


def test_scores_are_means_over_pictures_of_each_pictures_own_score() -> None:
    (evaluation,) = run(Oracle(1.1, noise=0.2))
    source, oracle = Scenes(), Oracle(1.1, noise=0.2)
    by_hand = []
    for index in range(6):
        sample = source.read(index)
        known = sample.depth > 0
        by_hand.append(Scores.of(oracle.predict(sample).values[known], sample.depth[known]).abs_rel)
    assert evaluation.means(Alignment.NONE)["abs_rel"].mean == pytest.approx(np.mean(by_hand))
    assert evaluation.measured[0].pixels == 12 * 16 - 4


def test_a_metric_map_is_measured_raw_and_median_scaled() -> None:
    (evaluation,) = run(Oracle(1.3))
    assert evaluation.alignments == (Alignment.NONE, Alignment.MEDIAN)
    assert evaluation.means(Alignment.NONE)["d1"].mean == 0
    assert evaluation.means(Alignment.MEDIAN)["d1"].mean == 1


def test_a_disparity_map_is_measured_with_scale_and_shift_fitted_in_disparity_and_never_raw() -> None:
    oracle = Oracle(kind=DepthKind.DISPARITY)
    (evaluation,) = run(oracle)
    assert evaluation.alignments == (Alignment.DISPARITY,)
    assert evaluation.means(Alignment.DISPARITY)["abs_rel"].mean == pytest.approx(0, abs=1e-5)
    with pytest.raises(UsageError, match="--align median says nothing about oracle: its maps are disparity"):
        run(oracle, align="median")


def test_what_cannot_be_measured_is_named_and_counted_and_never_averaged_away() -> None:
    oracle = Oracle(1.1, missing=("room/1.png",), wrong_size=("room/2.png",))
    (evaluation,) = run(oracle, source=Scenes(broken=3, empty=4))
    assert [picture.error is None for picture in evaluation.pictures] == [True, False, False, False, False, True]
    assert evaluation.failures == {"E_NOT_FOUND": 2, "E_DATA": 2}
    assert evaluation.means(Alignment.NONE)["abs_rel"].mean == pytest.approx(0.1, rel=1e-5)
    messages = [str(picture.error) for picture in evaluation.pictures if picture.error is not None]
    assert "the map is 15x12, the picture 16x12" in messages[1]
    assert "no pixel counts" in messages[3]
    assert "2 of 6 pictures" in heading(evaluation)
    assert "not measured: 2 E_DATA, 2 E_NOT_FOUND" in heading(evaluation)


def test_a_map_with_holes_is_measured_where_it_has_depth_and_says_so() -> None:
    (evaluation,) = run(Oracle(1.1, holes=True))
    assert evaluation.measured[0].known == pytest.approx(96 / 188)
    assert "6 maps lack depth in places" in heading(evaluation)


def test_clipping_brings_predictions_into_the_range_first() -> None:
    protocol = Protocol(range_m=(0.5, 9.0))
    (free,) = run(Oracle(10), protocol=protocol, align="none")
    (clipped,) = run(Oracle(10), protocol=replace(protocol, clip=True), align="none")
    assert free.means(Alignment.NONE)["abs_rel"].mean == pytest.approx(9, rel=1e-5)
    expected = []
    for index in range(6):
        truth = Scenes().read(index).depth
        truth = truth[(truth > 0.5) & (truth < 9)]
        expected.append(np.mean((9 - truth) / truth))
    assert clipped.means(Alignment.NONE)["abs_rel"].mean == pytest.approx(np.mean(expected), rel=1e-5)


def test_the_heading_and_the_json_tell_what_a_fit_clips() -> None:
    (free,) = run(Oracle(), align="none,scale-shift,disparity")
    assert "align none, scale-shift (kept over 0.001 m), disparity (clipped to 0.001 .. 1000 m)\n" in heading(free)
    ranged = Protocol(range_m=(0.5, 9.0))
    (near,) = run(Oracle(), protocol=ranged, align="median,scale-shift")
    assert "clip off, align median, scale-shift (clipped to 0.5 .. 9 m)\n" in heading(near)
    (clipped,) = run(Oracle(), protocol=replace(ranged, clip=True), align="scale-shift")
    assert "clip on, align scale-shift\n" in heading(clipped)
    bounds = [model["align_bounds_m"] for model in to_json([free, near])["models"]]
    assert bounds == [{"scale-shift": [0.001, None], "disparity": [0.001, 1000]}, {"scale-shift": [0.5, 9]}]


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 4), (3, 1), (4, 5)])
def test_reading_ahead_and_batches_change_no_number_and_no_order(workers: int, batch_size: int) -> None:
    predictors, source = [Oracle(1.1, noise=0.2, missing=("room/3.png",)), Oracle(0.9)], Scenes(broken=1, empty=4)
    plain, ahead = (
        list(
            evaluate(source, [Evaluation.begin(each, source, protocol=PROTOCOLS["none"]) for each in predictors], **how)
        )
        for how in ({}, {"workers": workers, "batch_size": batch_size})
    )
    assert [[(p.name, p.pixels, p.scores, str(p.error)) for p in row] for row in ahead] == [
        [(p.name, p.pixels, p.scores, str(p.error)) for p in row] for row in plain
    ]
    assert [row[0].error is None for row in plain] == [True, False, True, False, False, True]


def test_kitti_frames_and_maps_of_full_frames_are_cut_alike() -> None:
    source = Scenes(length=1, size=(375, 1242))

    class FullFrame(Oracle):
        def predict(self, sample: Sample) -> DepthMap:
            assert sample.size == (352, 1216)
            return super().predict(source.read(0))

    (evaluation,) = run(FullFrame(), source=source, protocol=PROTOCOLS["kitti"])
    assert evaluation.means(Alignment.NONE)["d1"].mean == 1
    assert evaluation.measured[0].pixels == (349 - 143) * (1172 - 43)


def test_a_map_of_another_size_than_its_kitti_frame_is_named_not_cut_to_fit() -> None:
    class Larger(Oracle):
        def predict(self, sample: Sample) -> DepthMap:
            return DepthMap(np.ones((384, 1280), np.float32))

    (evaluation,) = run(Larger(), source=Scenes(length=1, size=(375, 1242)), protocol=PROTOCOLS["kitti"])
    (picture,) = evaluation.pictures
    assert picture.error is not None
    assert "the map is 1280x384, the picture 1216x352" in picture.error.message


def test_two_models_are_compared_on_the_same_pictures() -> None:
    ours, theirs = run(Oracle(1.10), Oracle(1.12, name="other", missing=("room/5.png",)))
    difference = theirs.compare(ours, Alignment.NONE, "abs_rel")
    assert difference is not None
    assert difference.mean == pytest.approx(0.02, rel=1e-4)
    assert difference.low == pytest.approx(0.02, rel=1e-4)
    names = {row.predictor for row in make_differences((ours, theirs))}
    assert names == {"other - oracle"}


def test_a_picture_that_comes_twice_is_compared_place_by_place() -> None:
    class Listed(Scenes):
        def name_of(self, index: int) -> str:
            return f"room/{index // 2}.png"

    class Sometimes(Oracle):
        def predict(self, sample: Sample) -> DepthMap:
            if sample.depth[1, 0] == Scenes().read(0).depth[1, 0]:
                raise InputError("not this time", code=ErrorCode.NOT_FOUND)
            return super().predict(sample)

    ours, theirs = run(Oracle(1.10), Sometimes(1.12, name="other"), source=Listed())
    assert [len(evaluation.measured) for evaluation in (ours, theirs)] == [6, 5]
    by_hand = [
        other.scores[Alignment.NONE]["rmse"] - one.scores[Alignment.NONE]["rmse"]
        for one, other in list(zip(ours.pictures, theirs.pictures, strict=True))[1:]
    ]
    difference = theirs.compare(ours, Alignment.NONE, "rmse")
    assert difference is not None
    assert difference.mean == pytest.approx(np.mean(by_hand))


def test_the_mean_of_one_picture_is_shown_without_an_interval() -> None:
    evaluations = run(Oracle(1.1), Oracle(1.2, name="other"), source=Scenes(length=1))
    rows = [*make_rows(evaluations[0]), *make_differences(evaluations)]
    assert {row.words()[1] for row in rows} == {"none"}
    record = json.loads(json.dumps(to_json(evaluations), allow_nan=False))
    score = record["models"][0]["scores"]["none"]["abs_rel"]
    assert score == {"mean": pytest.approx(0.1, rel=1e-5), "low": None, "high": None}
    assert record["differences"][0]["low"] is None


def test_json_and_csv_tell_the_same_numbers_and_every_picture() -> None:
    evaluations = run(Oracle(1.1, missing=("room/1.png",)))
    record = to_json(evaluations)
    assert record["models"][0]["measured"] == 5
    assert record["models"][0]["scores"]["none"]["abs_rel"]["mean"] == pytest.approx(0.1, rel=1e-5)
    lines = to_csv(evaluations).splitlines()
    assert lines[0].startswith("model,picture,align,pixels,known,d1,")
    assert sum(",none," in line for line in lines) == sum(",median," in line for line in lines) == 5
    assert next(line for line in lines if "E_NOT_FOUND" in line).startswith("oracle,room/1.png,,0")
    assert {row.metric for row in make_rows(evaluations[0])} == set(record["models"][0]["scores"]["none"])


def test_the_row_fit_finds_the_line_it_is_made_of() -> None:
    rows = np.linspace(0, 1, 40)[:, None] * np.ones(30)

    @dataclass(frozen=True)
    class Sloped(Scenes):
        def read(self, index: int) -> Sample:
            depth = np.exp(1.5 - 0.8 * rows).astype(np.float32)
            depth[index, 3:] = 0
            return Sample(np.zeros((40, 30, 3), np.uint8), depth, name=self.name_of(index))

    fit = RowFit.fit(Sloped())
    assert fit.top == pytest.approx(np.exp(1.5), rel=1e-5)
    assert fit.bottom == pytest.approx(np.exp(0.7), rel=1e-5)
    (evaluation,) = run(fit, source=Sloped())
    assert evaluation.means(Alignment.NONE)["abs_rel"].mean == pytest.approx(0, abs=1e-5)


def test_a_row_fit_needs_some_picture_it_can_use() -> None:
    with pytest.raises(UsageError, match="can be used") as caught:
        RowFit.fit(Scenes(length=1, broken=0))
    assert caught.value.hint == "The last of them: room/0.png: no depth file."


@pytest.mark.parametrize(
    "file", ["kitchen/rgb_1.npy", "kitchen/rgb_1_depth.npy", "kitchen_rgb_1.npy", "rgb_1.npy", "rgb_1_depth.npy"]
)
def test_maps_of_others_are_found_by_name(tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    np.save(tmp_path / file, np.full((3, 4), 2.0, np.float32))
    predictor = FolderPredictor(tmp_path)
    depth = predictor.predict(
        Sample(np.zeros((3, 4, 3), np.uint8), np.ones((3, 4), np.float32), name="kitchen/rgb_1.jpg")
    )
    assert depth.values[0, 0] == 2
    with pytest.raises(InputError, match=r"bath/rgb_2\.jpg has no map"):
        predictor.find("bath/rgb_2.jpg")


def test_a_map_that_could_be_several_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rgb_1.npy", np.ones((3, 4), np.float32))
    np.savez(tmp_path / "rgb_1.npz", depth=np.ones((3, 4), np.float32))
    with pytest.raises(InputError, match=r"could be any of rgb_1\.npy, rgb_1\.npz") as caught:
        FolderPredictor(tmp_path).find("rgb_1.jpg")
    assert caught.value.hint == "Keep one map of each picture in the folder."


def test_a_map_named_after_one_of_several_pictures_of_its_name_is_nobodys(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", np.ones((3, 4), np.float32))
    np.save(tmp_path / "1.npy", np.ones((3, 4), np.float32))
    (tmp_path / "b").mkdir()
    np.save(tmp_path / "b/0_depth.npy", np.ones((3, 4), np.float32))
    predictor = FolderPredictor(tmp_path, pictures=("a/0.png", "b/0.png", "b/1.png", "2.png"))
    with pytest.raises(InputError, match=r"a/0\.png has no map of its own: 0\.npy could be that of any picture"):
        predictor.find("a/0.png")
    assert predictor.find("b/0.png").name == "0_depth.npy"
    assert predictor.find("b/1.png").name == "1.npy"


def test_a_picture_that_fails_is_not_kept_in_memory() -> None:
    (evaluation,) = run(Oracle(missing=("room/1.png",)), source=Scenes(broken=2))
    errors = [picture.error for picture in evaluation.pictures if picture.error is not None]
    assert len(errors) == 2
    assert all(error.__traceback__ is error.__context__ is error.__cause__ is None for error in errors)


def write_maps(folder: Path, model: str = "mini", *, names: tuple[str, ...] = ("a", "b"), rounded: bool = True) -> None:
    """What `predict -f png16,npy` leaves: 2.0004 m, which millimetres round to 2."""
    depth = DepthMap(np.full((3, 4), 2.0004, np.float32))
    made = Provenance(model=model, weights_sha256=model, precision="fp32")
    for name in names:
        result = Result(depth, ImageSource(Path(f"{name}.jpg"), f"{name}.jpg", f"{name}.jpg"), made)
        for word in ("png16", "npy") if rounded else ("npy",):
            writer = make_writer(word, kind=DepthKind.METRIC, limit_m=10)
            (folder / f"{name}_depth{writer.extension}").write_bytes(writer.encode(result).data)


def named(name: str) -> Sample:
    return Sample(np.zeros((3, 4, 3), np.uint8), np.ones((3, 4), np.float32), name=name)


def test_a_float_map_goes_before_its_rounded_copy_and_the_heading_tells_what_was_read(tmp_path: Path) -> None:
    write_maps(tmp_path, names=("a", "b", "c"))
    predictor = FolderPredictor(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        assert predictor.predict(named(name)).values[0, 0] == np.float32(2.0004)
    assert predictor.describe() == "2 npy maps from disk, recorded: mini, fp32, input size auto"
    (tmp_path / "c_depth.npy").unlink()
    assert FolderPredictor(tmp_path).find("c.jpg").name == "c_depth.png"


def test_the_heading_tells_what_was_done_with_maps_and_no_scale_that_did_nothing(tmp_path: Path) -> None:
    depth = DepthMap(np.full((3, 4), 2, np.float32))
    made = Provenance(model="mini", weights_sha256="mini", metres="focal 28mm", calibration="metric scale 2 shift 0")
    result = Result(depth, ImageSource(Path("a.jpg"), "a.jpg", "a.jpg"), made)
    depth_file = make_writer("npz", kind=DepthKind.METRIC, limit_m=10).encode(result).data
    (tmp_path / "a_depth.npz").write_bytes(depth_file)
    predictor = FolderPredictor(tmp_path, depth_scale=256)
    predictor.predict(named("a.jpg"))
    recorded = "mini, fp32, input size auto, metres focal 28mm, calibration metric scale 2 shift 0"
    assert predictor.describe() == f"1 npz map from disk, recorded: {recorded}"
    np.save(tmp_path / "b_depth.npy", np.full((3, 4), 512, np.uint16))
    predictor = FolderPredictor(tmp_path, depth_scale=256)
    predictor.predict(named("b.jpg"))
    assert predictor.describe() == "1 npy map from disk, 256 units per metre"


def test_maps_of_several_models_are_not_told_as_one_models(tmp_path: Path) -> None:
    write_maps(tmp_path, names=("a",))
    write_maps(tmp_path, "nyu", names=("b",))
    predictor = FolderPredictor(tmp_path)
    predictor.predict(named("a.jpg"))
    assert predictor.describe().endswith("recorded: mini, fp32, input size auto")
    predictor.predict(named("b.jpg"))
    assert predictor.describe() == "2 npy maps from disk"
    write_maps(tmp_path, names=("c",), rounded=False)
    alone = FolderPredictor(tmp_path)
    alone.predict(named("c.jpg"))
    assert alone.describe() == "1 npy map from disk"


def test_a_folder_without_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no depth maps"):
        FolderPredictor(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        FolderPredictor(tmp_path / "nothing")


def test_metres_are_brought_to_the_pictures_camera_when_asked_and_only_where_it_is_known() -> None:
    @dataclass(frozen=True)
    class Filmed(Scenes):
        def read(self, index: int) -> Sample:
            return replace(super().read(index), focal_px=None if index == 2 else 125.0)

    (evaluation,) = run(Oracle(0.8), source=Filmed(), align="none,focal")
    assert evaluation.failures == {}
    assert evaluation.means(Alignment.NONE)["abs_rel"].mean == pytest.approx(0.2, rel=1e-5)
    assert evaluation.means(Alignment.FOCAL)["abs_rel"].mean == pytest.approx(0, abs=1e-5)
    assert [evaluation.values(how, "d1").size for how in evaluation.alignments] == [6, 5]
    assert "6 of 6 pictures\nalign focal: 5 of 6 pictures; without a focal length: room/2.png" in heading(evaluation)
    (model,) = to_json([evaluation])["models"]
    assert (model["measured"], model["align_missing"]) == (6, {"focal": ["room/2.png"]})
    (line,) = (line for line in to_csv([evaluation]).splitlines() if "E_DATA" in line)
    assert line.startswith("oracle,room/2.png,focal,188,1,,")
    (alone,) = run(Oracle(0.8), source=Filmed(), align="focal")
    assert alone.failures == {"E_DATA": 1}


def test_a_predictor_whose_camera_nobody_knows_is_not_brought_to_another() -> None:
    with pytest.raises(UsageError, match="--align focal says nothing about oracle: for which focal length"):
        run(Oracle(knows_camera=False), align="none,focal")
    with pytest.raises(UsageError, match="row fit"):
        run(RowFit(1, 2), align="focal")


def test_a_models_camera_is_told_by_its_config(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    raw = json.loads((folder / "config.json").read_text())
    sample = Sample(np.zeros((96, 128, 3), np.uint8), np.ones((96, 128), np.float32), focal_px=150.0)
    factors = []
    for own in ({}, {"training_focal_px": 200.0, "training_size": [192, 256]}):
        (folder / "config.json").write_text(json.dumps({**raw, "glpn_cli": {**raw["glpn_cli"], **own}}))
        predictor = ModelPredictor(InferenceSettings(resolve_model(str(folder))), device="cpu", threads=1)
        factors.append(predictor.lens_factor(sample))
        assert predictor.knows_camera == bool(own)
    assert factors == [None, pytest.approx(150 / 100)]


def test_a_model_sees_a_batch_as_it_sees_its_pictures_one_by_one(tmp_path: Path) -> None:
    predictor = ModelPredictor(InferenceSettings(resolve_model(str(write_tiny_model(tmp_path / "tiny")))), threads=1)
    random = np.random.default_rng(0)
    samples = [
        Sample(random.integers(0, 256, (*size, 3), dtype=np.uint8), np.ones(size, np.float32))
        for size in ((64, 96), (80, 64), (64, 96))
    ]
    together = predictor.predict_batch(samples)
    for depth, sample in zip(together, samples, strict=True):
        np.testing.assert_allclose(depth.values, predictor.predict(sample).values, atol=1e-5 * (depth.limit or 1))
