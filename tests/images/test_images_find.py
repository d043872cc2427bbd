"""From arguments, folders, patterns and lists to pictures and their names."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glpn_cli.errors import ErrorCode, UsageError
from glpn_cli.images import (
    Found,
    ImageSource,
    ListFile,
    ReadOptions,
    Refused,
    Search,
    Shard,
    find_images,
    iterate_list,
    stem_of,
    walk,
)
from glpn_cli.images.walk import name_below

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def touch(*names: str) -> None:
    """Files below the current folder; finding never opens them."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def names(found: Found) -> list[str]:
    return [source.name for source in found.sources]


def find(*inputs: str, **options: Any) -> Found:
    here = {name: options.pop(name) for name in ("lists", "stdin") if name in options}
    return find_images(inputs, Search(**options), **here)


# Files


def test_files_keep_their_bare_name_and_the_order_given(here: Path) -> None:
    touch("b/x.jpg", "a.png")
    found = find("b/x.jpg", "a.png", str(here / "b" / ".." / "b" / "x.jpg"))
    assert [(s.name, s.given, s.path) for s in found.sources] == [
        ("x.jpg", "b/x.jpg", Path("b/x.jpg")),
        ("a.png", "a.png", Path("a.png")),
    ]
    assert found.refused == ()


def test_files_are_taken_whatever_they_are_called(here: Path) -> None:
    touch("x", "x.txt", ".hidden", "-o.jpg", "[b].jpg")
    assert names(find("x", "x.txt", ".hidden", "-o.jpg", "[b].jpg")) == ["x", "x.txt", ".hidden", "-o.jpg", "[b].jpg"]


def test_reading_options_travel_with_every_source(here: Path) -> None:
    touch("a/x.jpg", "y.jpg")
    options = ReadOptions(frame=3)
    found = find("a", "y.jpg", "*.jpg", options=options)
    assert {source.options for source in found.sources} == {options}


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ("missing.jpg", ErrorCode.NOT_FOUND, "does not exist"),
        ("folder/missing.jpg", ErrorCode.NOT_FOUND, "does not exist"),
        ("dangling.jpg", ErrorCode.NOT_FOUND, "a link to a file that does not exist"),
        ("loop.jpg", ErrorCode.IO, "symbolic links"),
        ("a\0b.jpg", ErrorCode.NOT_FOUND, "no file name"),
        ("*\0", ErrorCode.NOT_FOUND, "no file name"),
        ("", ErrorCode.NOT_FOUND, "no file name"),
        ("https://example.org/x.jpg", ErrorCode.NOT_FOUND, "address"),
        ("x" * 300, ErrorCode.IO, "name too long"),
        ("there.jpg/x.jpg", ErrorCode.IO, "not a directory"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(here: Path, given: str, code: ErrorCode, words: str) -> None:
    touch("there.jpg")
    Path("dangling.jpg").symlink_to("nowhere")
    Path("loop.jpg").symlink_to("loop.jpg")
    found = find(given, "there.jpg")
    assert names(found) == ["there.jpg"]
    (refused,) = found.refused
    assert refused.given == given
    assert refused.error.code is code
    assert words in refused.error.message


def test_one_file_is_read_once_however_many_ways_lead_to_it(here: Path) -> None:
    touch("a/x.jpg", "a/y.jpg")
    Path("link.jpg").symlink_to("a/x.jpg")
    Path("folder").symlink_to("a")
    found = find("a/y.jpg", "a", "./a/x.jpg", "link.jpg", "folder", str(here / "a" / "y.jpg"))
    assert names(found) == ["y.jpg", "x.jpg"]
    assert found.notes == ("6 inputs lead to a file that was found before; each file is read once",)
    assert find("a/x.jpg", "a/y.jpg").notes == ()


def test_a_missing_file_named_twice_is_refused_once(here: Path) -> None:
    assert len(find("x.jpg", "./x.jpg").refused) == 1


def test_hard_links_are_files_of_their_own(here: Path) -> None:
    touch("x.jpg")
    Path("y.jpg").hardlink_to("x.jpg")
    assert names(find("x.jpg", "y.jpg")) == ["x.jpg", "y.jpg"]


# Folders


def test_a_folder_mirrors_below_itself(here: Path) -> None:
    touch("photos/a/x.jpg", "photos/b/x.jpg", "photos/x.jpg")
    found = find("photos")
    assert [(s.name, s.given, s.path) for s in found.sources] == [
        ("a/x.jpg", "photos/a/x.jpg", Path("photos/a/x.jpg")),
        ("b/x.jpg", "photos/b/x.jpg", Path("photos/b/x.jpg")),
        ("x.jpg", "photos/x.jpg", Path("photos/x.jpg")),
    ]
    assert names(find("photos/")) == names(find(str(here / "photos"))) == names(found)
    assert names(find(".")) == ["photos/a/x.jpg", "photos/b/x.jpg", "photos/x.jpg"]


def test_folders_are_searched_by_extension(here: Path) -> None:
    touch("p/a.JPG", "p/b.jpeg", "p/c.txt", "p/d", "p/e.PnG", "p/f.heic", "p/g.npy", "p/h.jpg.part", "p/jpg")
    assert names(find("p")) == ["a.JPG", "b.jpeg", "e.PnG", "f.heic"]
    assert names(find("p", extensions=frozenset({".npy"}))) == ["g.npy"]


def test_names_are_ordered_as_a_person_would(here: Path) -> None:
    touch(
        *(
            f"p/{name}.jpg"
            for name in ("img10", "img2", "img", "IMG1", "img02", "b", "a9/x", "a10/x", "A", "1", "٣", "²")
        )
    )
    assert names(find("p")) == [
        f"{name}.jpg" for name in ("1", "A", "a9/x", "a10/x", "b", "img", "IMG1", "img02", "img2", "img10", "²", "٣")
    ]


def test_a_number_of_any_length_can_be_in_a_name(here: Path) -> None:
    touch("p/" + "9" * 200 + ".jpg", "p/1.jpg")
    assert len(names(find("p"))) == 2


def test_folders_need_not_be_searched_to_the_bottom(here: Path) -> None:
    touch("p/a.jpg", "p/deep/b.jpg")
    assert names(find("p", is_recursive=False)) == ["a.jpg"]


def test_hidden_files_and_folders_are_left_out_of_folders(here: Path) -> None:
    touch("p/.x.jpg", "p/._y.jpg", "p/.thumbs/z.jpg", "p/.glpn-host-1-ab.tmp", "p/a.jpg", ".q/b.jpg")
    assert names(find("p", ".q")) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", "#recycle", "__MACOSX", ".thumbnails", "lost+found", "$RECYCLE.BIN", "System Volume Information"],
)
def test_folders_of_the_system_are_left_out_of_folders_and_patterns_unless_they_are_named(
    here: Path, folder: str
) -> None:
    touch("p/a.png", f"p/{folder}/b.png", f"p/q/{folder}/deep/c.png", f"p/{folder}.png")
    expected = sorted(["a.png", f"{folder}.png"] if not folder.startswith(".") else ["a.png"])
    assert sorted(names(find("p"))) == expected
    assert "b.png" not in "".join(names(find("p/**/*.png")))
    assert names(find(f"p/{folder}")) == ["b.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("thumbs", ["a.png", "a_s.png", "q/c.png"]),
        ("thumbs/", ["a.png", "a_s.png", "q/c.png"]),
        ("*_s.png", ["a.png", "q/c.png", "thumbs/b.png", "q/thumbs/d.png"]),
        ("q/thumbs", ["a.png", "a_s.png", "q/c.png", "thumbs/b.png"]),
        ("q/*", ["a.png", "a_s.png", "thumbs/b.png"]),
        ("A.png", ["a.png", "a_s.png", "q/c.png", "thumbs/b.png", "q/thumbs/d.png"]),
    ],
)
def test_excluded_names_are_left_out_of_folders_and_patterns_and_not_of_files(
    here: Path, pattern: str, expected: list[str]
) -> None:
    touch("p/a.png", "p/a_s.png", "p/thumbs/b.png", "p/q/c.png", "p/q/thumbs/d.png")
    assert sorted(names(find("p", exclude=[pattern]))) == sorted(expected)
    assert sorted(names(find("p/**/*.png", exclude=[pattern]))) == sorted(expected)
    assert names(find("p/a_s.png", exclude=[pattern])) == ["a_s.png"]


def test_a_folder_called_like_a_picture_is_a_folder(here: Path) -> None:
    touch("p/a.jpg/x.jpg", "b.jpg/y.jpg")
    assert names(find("p", "b.jpg")) == ["a.jpg/x.jpg", "y.jpg"]


def test_what_is_no_file_is_left_out_of_folders(here: Path) -> None:
    touch("p/a.jpg")
    os.mkfifo("p/pipe.jpg")
    Path("p/null.jpg").symlink_to("/dev/null")
    assert names(find("p")) == ["a.jpg"]
    assert find("p").refused == ()


def test_links_to_nowhere_are_refused_and_the_rest_goes_on(here: Path) -> None:
    touch("p/b.jpg")
    Path("p/a.jpg").symlink_to("nowhere")
    Path("p/c.jpg").symlink_to("c.jpg")
    Path("p/d.txt").symlink_to("nowhere")
    found = find("p")
    assert names(found) == ["b.jpg"]
    assert [(refused.name, refused.error.code) for refused in found.refused] == [
        ("a.jpg", ErrorCode.NOT_FOUND),
        ("c.jpg", ErrorCode.IO),
    ]


def test_circles_of_links_end(here: Path) -> None:
    touch("p/a/x.jpg", "p/b/y.jpg")
    Path("p/a/up").symlink_to("..")
    Path("p/a/self").symlink_to(".")
    Path("p/b/across").symlink_to("../a")
    Path("p/out").symlink_to(here)
    assert names(find("p")) == ["a/x.jpg", "b/y.jpg"]


def test_links_out_of_the_folder_are_followed(here: Path) -> None:
    touch("p/x.jpg", "far/y.jpg", "single.jpg")
    Path("p/linked").symlink_to(here / "far")
    Path("p/z.jpg").symlink_to(here / "single.jpg")
    assert names(find("p")) == ["linked/y.jpg", "x.jpg", "z.jpg"]


@pytest.mark.skipif(IS_ROOT, reason="root may look everywhere")
def test_a_folder_that_cannot_be_listed_is_refused_and_the_rest_goes_on(here: Path) -> None:
    touch("p/a/x.jpg", "p/b/y.jpg")
    Path("p/a").chmod(0)
    found = find("p")
    Path("p/a").chmod(0o755)
    assert names(found) == ["b/y.jpg"]
    assert [(refused.name, refused.error.code) for refused in found.refused] == [("a", ErrorCode.PERMISSION)]


def test_a_very_deep_tree_is_searched(here: Path) -> None:
    deep = "/".join("d" * 10 for _ in range(300))
    touch(f"p/{deep}/x.jpg")
    assert names(find("p")) == [f"{deep}/x.jpg"]


def test_a_folder_too_deep_for_the_system_is_refused(here: Path) -> None:
    touch("p/x.jpg")
    top = os.getcwd()  # noqa: PTH109
    os.chdir("p")
    for _ in range(50):
        os.mkdir("d" * 100)  # noqa: PTH102
        os.chdir("d" * 100)
    os.chdir(top)
    found = find("p")
    assert names(found) == ["x.jpg"]
    assert [refused.error.code for refused in found.refused] == [ErrorCode.IO]


def test_own_outputs_can_be_left_out_of_folders_and_patterns_but_not_of_files(here: Path) -> None:
    touch("p/a.png", "p/a_depth.png")
    asked = []

    def leave_out(path: Path) -> bool:
        asked.append(path)
        return path.stem.endswith("_depth")

    assert names(find("p", leave_out=leave_out)) == ["a.png"]
    assert asked == [Path("p/a.png"), Path("p/a_depth.png")]
    assert names(find("p/*.png", leave_out=leave_out)) == ["a.png"]
    assert names(find("p/a_depth.png", leave_out=leave_out)) == ["a_depth.png"]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes no such names")
def test_names_that_are_no_text_survive(here: Path) -> None:
    name = os.fsdecode(b"\xff\xfe \x1b[2J\n.jpg")
    touch(f"p/{name}")
    found = find("p", f"p/{name}")
    assert names(found) == [name]
    assert found.sources[0].path == Path("p") / name


def test_an_empty_folder_has_no_pictures(here: Path) -> None:
    Path("p").mkdir()
    found = find("p")
    assert (found.sources, found.refused, found.notes) == ((), (), ())


# Patterns


@pytest.fixture
def tree(here: Path) -> Path:
    touch(
        "p/a/x1.jpg",
        "p/a/x2.jpg",
        "p/a/x10.jpg",
        "p/b/c/x1.jpg",
        "p/b/notes.txt",
        "p/x1.jpg",
        "p/.h/x1.jpg",
        "p/b/y.dat",
    )
    return here


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("p/*.jpg", ["x1.jpg"]),
        ("p/a/x?.jpg", ["x1.jpg", "x2.jpg"]),
        ("p/a/x[!1]*.jpg", ["x2.jpg"]),
        ("p/*/x1.jpg", ["a/x1.jpg"]),
        ("p/**/x1.jpg", ["a/x1.jpg", "b/c/x1.jpg", "x1.jpg"]),
        ("p/**", ["a/x1.jpg", "a/x2.jpg", "a/x10.jpg", "b/c/x1.jpg", "x1.jpg"]),
        ("p/**/c/**/*.jpg", ["b/c/x1.jpg"]),
        ("**/c/*", ["p/b/c/x1.jpg"]),
        ("./p//a/*.jpg", ["x1.jpg", "x2.jpg", "x10.jpg"]),
        ("p/*/", ["a/x1.jpg", "a/x2.jpg", "a/x10.jpg", "b/c/x1.jpg"]),
        ("p/b/*.dat", ["y.dat"]),
        ("p/.h/*", ["x1.jpg"]),
        ("p/a/../*.jpg", ["x1.jpg"]),
    ],
)
def test_patterns_choose_below_what_precedes_their_wildcards(tree: Path, pattern: str, expected: list[str]) -> None:
    assert names(find(pattern)) == expected
    assert names(find(str(tree) + "/" + pattern)) == expected


@pytest.mark.parametrize("pattern", ["p/*.png", "q/*.jpg", "p/b/*", "p/x1.jpg/*", "[", "p/?", "p/??/", "*.jpg"])
def test_a_pattern_without_a_match_is_a_usage_error(tree: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="matches no picture") as caught:
        find(pattern)
    assert repr(pattern) in caught.value.message


def test_a_name_that_exists_is_no_pattern(here: Path) -> None:
    touch("[ab].jpg", "a.jpg", "b.jpg", "*.png", "x.png", "d[1]/y.jpg", "d1/z.jpg")
    assert names(find("[ab].jpg")) == ["[ab].jpg"]
    assert names(find("*.png")) == ["*.png"]
    assert names(find("d[1]/*.jpg")) == ["y.jpg"]
    assert names(find("d[1]")) == ["y.jpg"]
    assert names(find("[a].jpg")) == ["a.jpg"]


def test_patterns_with_circles_of_links_end(here: Path) -> None:
    touch("p/x.jpg")
    for name in "abc":
        Path("p", name).symlink_to(".")
    assert names(find("p/**/*.jpg")) == ["x.jpg"]


# Roots


def test_under_a_root_every_name_is_the_path_below_it(here: Path) -> None:
    touch("r/a/x.jpg", "r/b/y.jpg", "r/b/c/z.jpg", "r/w.jpg")
    found = find("r/a/x.jpg", "r/b", "r/*.jpg", "r/missing.jpg", root=Path("r"))
    assert names(found) == ["a/x.jpg", "b/c/z.jpg", "b/y.jpg", "w.jpg"]
    assert found.refused[0].name == "missing.jpg"
    assert names(find(str(here / "r" / "a" / ".." / "b"), root=here)) == ["r/b/c/z.jpg", "r/b/y.jpg"]
    assert names(find("r", root=Path("r"))) == ["a/x.jpg", "b/c/z.jpg", "b/y.jpg", "w.jpg"]


class Stale:
    """An entry of a folder over a network whose server forgot it: asking what it is fails."""

    name, path = "x.jpg", "r/x.jpg"

    def is_symlink(self) -> bool:
        return False

    def is_file(self) -> bool:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def test_a_file_of_which_nothing_is_known_is_refused_and_the_search_goes_on() -> None:
    found = walk._as_file(Stale(), "x.jpg", "/r/x.jpg")  # type: ignore[arg-type]
    assert found is not None
    assert found.error is not None
    assert found.error.errno == errno.ESTALE


def test_a_name_below_its_root_as_written_follows_no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would take a look at every folder on the way, four times for each name of a list."""
    monkeypatch.delattr(os.path, "realpath")
    assert name_below(Path("r"), "r/a/x.jpg") == "a/x.jpg"


def test_a_root_reached_through_a_link_is_the_same_root(here: Path) -> None:
    touch("r/a/x.jpg")
    Path("link").symlink_to("r")
    assert names(find("r/a/x.jpg", root=Path("link"))) == ["a/x.jpg"]
    assert names(find("link/a/x.jpg", root=Path("r"))) == ["a/x.jpg"]


@pytest.mark.parametrize("given", ["x.jpg", "rest/x.jpg", "r/../x.jpg", ".", "*.jpg"])
def test_outside_the_root_is_a_usage_error(here: Path, given: str) -> None:
    touch("x.jpg", "r/y.jpg", "rest/x.jpg")
    with pytest.raises(UsageError, match="outside the root") as caught:
        find(given, root=Path("r"))
    assert caught.value.hint is not None
    assert "--root" in caught.value.hint


# Standard input


def test_a_dash_is_the_bytes_of_standard_input(here: Path) -> None:
    touch("-")
    found = find("-", stdin=io.BytesIO(b"bytes"))
    (source,) = found.sources
    assert (source.name, source.given, source.data, source.path) == ("stdin", "-", b"bytes", None)
    assert names(find("./-")) == ["-"]


@pytest.mark.parametrize(("inputs", "lists"), [(["-", "-"], []), (["-"], ["-"]), ([], ["-", "-"])])
def test_standard_input_is_read_once(here: Path, inputs: list[str], lists: list[str]) -> None:
    with pytest.raises(UsageError, match="only be read once"):
        find(*inputs, lists=[ListFile(path) for path in lists])


def test_a_closed_standard_input_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="closed"):
        find("-")


def test_endless_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["glpn_cli.images.source"], "MAX_BYTES", 100)
    (refused,) = find("-", stdin=io.BytesIO(bytes(101))).refused
    assert refused.error.code is ErrorCode.TOO_LARGE


# Lists


def test_listed_files_keep_their_path_below_the_current_folder(here: Path) -> None:
    touch("a/x.jpg", "b/x.jpg", "b/odd name.bin", "[c].jpg")
    Path("list").write_text(f"a/x.jpg\n\n./b/x.jpg\r\nb/odd name.bin\n{here}/[c].jpg")
    found = find(lists=[ListFile("list")])
    assert names(found) == ["a/x.jpg", "b/x.jpg", "b/odd name.bin", "[c].jpg"]
    assert [source.given for source in found.sources] == ["a/x.jpg", "./b/x.jpg", "b/odd name.bin", f"{here}/[c].jpg"]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes no such names")
def test_a_list_of_zero_bytes_holds_any_name(here: Path) -> None:
    name = os.fsdecode(b"a\n\xff.jpg")
    touch(name, "b.jpg")
    Path("list").write_bytes(b"a\n\xff.jpg\0b.jpg\0")
    assert names(find(lists=[ListFile("list", is_nulled=True)])) == [name, "b.jpg"]


def test_a_list_may_name_folders_and_begin_with_a_mark(here: Path) -> None:
    touch("a/x.jpg", "a/b/y.jpg", "z.jpg")
    Path("list").write_bytes(b"\xef\xbb\xbfz.jpg\na\n")
    assert names(find(lists=[ListFile("list")])) == ["z.jpg", "a/b/y.jpg", "a/x.jpg"]


def test_a_list_in_utf_16_is_told(here: Path) -> None:
    Path("list").write_bytes("z.jpg\n".encode("utf-16"))
    with pytest.raises(UsageError, match="UTF-16"):
        find(lists=[ListFile("list")])


def test_lists_follow_the_arguments_and_share_their_root(here: Path) -> None:
    touch("r/a/x.jpg", "r/y.jpg")
    found = find(
        "r/y.jpg", lists=[ListFile("-")], root=Path("r"), stdin=io.BytesIO(b"r/a/x.jpg\nr/y.jpg\nr/none.jpg\n")
    )
    assert names(found) == ["y.jpg", "a/x.jpg"]
    assert [refused.name for refused in found.refused] == ["none.jpg"]
    assert len(found.notes) == 1


def test_a_listed_file_outside_the_current_folder_is_a_usage_error(here: Path) -> None:
    Path("list").write_text("../x.jpg\n")
    with pytest.raises(UsageError, match="outside the root"):
        find(lists=[ListFile("list")])


def test_a_list_that_cannot_be_read_is_a_usage_error(here: Path) -> None:
    with pytest.raises(UsageError, match="'missing' cannot be read: no such file"):
        find(lists=[ListFile("missing")])


def test_what_is_no_list_is_told(here: Path) -> None:
    with pytest.raises(UsageError, match="no list of file names"):
        find(lists=[ListFile("-")], stdin=io.BytesIO(bytes(200_000)))


class Slow(io.BytesIO):
    """A stream that gives one byte at a time."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(1)


def test_names_come_out_whole_however_the_bytes_come_in(here: Path) -> None:
    touch("a.jpg", "b.jpg")
    assert [s.name for s in iterate_list(Slow(b"a.jpg\nb.jpg"))] == ["a.jpg", "b.jpg"]
    assert [s.name for s in iterate_list(Slow(b"a.jpg\0b.jpg\0"), is_nulled=True)] == ["a.jpg", "b.jpg"]


def test_a_list_is_read_as_it_comes(here: Path) -> None:
    touch("a.jpg", "b.jpg")
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as feed:
        items: Iterator[ImageSource | Refused] = iterate_list(stream)
        feed.write(b"a.jpg\n")
        assert next(items).name == "a.jpg"  # nothing more has been written yet
        later = threading.Timer(0.05, lambda: feed.write(b"b.jpg\na.jpg\n"))
        later.start()
        assert next(items).name == "b.jpg"
        assert next(items).name == "a.jpg", "a file that comes again may have changed"
        later.join()
        feed.close()
        assert next(items, None) is None


def test_what_is_wrong_in_a_fed_list_is_that_items_error(here: Path) -> None:
    touch("r/a.jpg")
    items = list(iterate_list(io.BytesIO(b"../x.jpg\nr/a.jpg\nr/missing.jpg\n"), Search(root=Path("r"))))
    assert [type(item) for item in items] == [Refused, ImageSource, Refused]
    assert [item.error.code for item in items if isinstance(item, Refused)] == [ErrorCode.USAGE, ErrorCode.NOT_FOUND]


# Shards


def test_shards_are_disjoint_and_complete(here: Path) -> None:
    touch(*(f"p/{i}.jpg" for i in range(200)))
    parts = [names(find("p", shard=Shard(number, 3))) for number in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == sorted(names(find("p")))
    assert all(len(part) > 40 for part in parts)


def test_a_shard_never_changes() -> None:
    # Machines of different versions share a run: these numbers are a promise.
    stems = ("a", "a/b", "ü", "x1", "\udcff")
    assert [next(n for n in range(1, 8) if Shard(n, 7).holds(stem)) for stem in stems] == [3, 6, 4, 3, 7]


def test_names_that_collide_meet_in_one_shard(here: Path) -> None:
    twins = [("a/x.jpg", "a/x.png"), ("A/X.jpg", "a/x.JPG"), ("caf\u00e9.jpg", "cafe\u0301.jpg"), ("ß.jpg", "SS.jpg")]
    for first, second in twins:
        for number in range(1, 6):
            assert Shard(number, 5).holds(stem_of(first)) == Shard(number, 5).holds(stem_of(second))


def test_refused_inputs_and_standard_input_belong_to_one_shard(here: Path) -> None:
    given = [f"missing{i}.jpg" for i in range(30)]
    parts = [find("-", *given, shard=Shard(n, 4), stdin=io.BytesIO(b"x")) for n in (1, 2, 3, 4)]
    assert sum(len(part.refused) for part in parts) == 30
    assert sum(len(part.sources) for part in parts) == 1


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (1, 0), (-1, -1)])
def test_a_shard_that_does_not_exist_is_a_usage_error(shard: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="no shard"):
        Shard(*shard)


def test_shards_are_written_with_a_slash() -> None:
    assert Shard.parse("2/5") == Shard(2, 5)
    for text in ("", "2", "2/", "a/b", "2/5/6", "-1/3", "1.0/2", "²/3", "0/2", "3/2"):
        with pytest.raises(UsageError, match="no shard"):
            Shard.parse(text)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a/x.jpg", "a/x"),
        ("x", "x"),
        ("a.b/x", "a.b/x"),
        (".x", ".x"),
        ("x.tar.gz", "x.tar"),
        ("a/.x.jpg", "a/.x"),
        ("x.", "x"),
    ],
)
def test_a_stem_is_a_name_without_its_extension(name: str, stem: str) -> None:
    assert stem_of(name) == stem


# Size


@pytest.mark.soak
def test_a_folder_of_100_000_files_is_searched_in_seconds(here: Path) -> None:
    for folder in range(10):
        Path(f"p/{folder}").mkdir(parents=True)
        for index in range(10_000):
            os.close(os.open(f"p/{folder}/image_{index}.jpg", os.O_CREAT))
    start = time.perf_counter()
    found = find("p")
    assert time.perf_counter() - start < 5
    assert len(found.sources) == 100_000
    assert found.sources[11].name == "0/image_11.jpg"
