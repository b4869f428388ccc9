import errno
import os
import stat
from pathlib import Path

import pytest

from glm_magic.errors import HistoryError
from glm_magic.notebook.files import read, write_atomically


def full(*args, **more):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_text_is_written_as_it_is(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "one\r\ntwo\n中文 😀\x85", force=False)
    assert path.read_bytes().decode() == "one\r\ntwo\n中文 😀\x85"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(("executable", "expected"), [(False, 0o640), (True, 0o750)])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path, executable, expected):
    write_atomically(tmp_path / "a", "", force=False, executable=executable)
    assert mode(tmp_path / "a") == expected


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o600)
    write_atomically(path, "new", force=True)
    assert (path.read_text(), mode(path)) == ("new", 0o600)


def test_a_file_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(HistoryError, match=r"exists\.\nAdd --force to replace it\."):
        write_atomically(path, "new", force=False)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_not_replaced_either(tmp_path, monkeypatch):
    path = tmp_path / "a"
    monkeypatch.setattr(os, "fsync", lambda _: path.write_text("theirs"))
    with pytest.raises(HistoryError, match="exists"):
        write_atomically(path, "new", force=False)
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("appears", [False, True])
def test_a_file_system_without_links_is_written_to_as_well(tmp_path, monkeypatch, appears):
    def no_links(*args):
        if appears:
            path.write_text("theirs")
        raise OSError(errno.EPERM, "Operation not permitted")

    path = tmp_path / "a"
    monkeypatch.setattr(os, "link", no_links)
    if appears:
        with pytest.raises(HistoryError, match="exists"):
            write_atomically(path, "new", force=False)
    else:
        write_atomically(path, "new", force=False)
    assert path.read_text() == ("theirs" if appears else "new")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", [(os, "fsync"), (Path, "replace")])
def test_a_full_disk_leaves_what_stood_there_and_nothing_half_written(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(*step, full)
    with pytest.raises(HistoryError, match=r"cannot be written: No space left on device\.\nNothing was changed\."):
        write_atomically(path, "new", force=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing_half_written(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", "new", force=False)
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_folder_the_system_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HistoryError, match="No such file or directory"):
        write_atomically(tmp_path / "no" / "a", "", force=False)
    with pytest.raises(HistoryError, match="Not a directory"):
        write_atomically(tmp_path / "file" / "a", "", force=False)
    with pytest.raises(HistoryError, match="null byte"):
        write_atomically(tmp_path / "a\x00b", "", force=False)


def test_what_is_no_file_is_never_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", Path(os.devnull)):
        with pytest.raises(HistoryError, match="it is not a regular file"):
            write_atomically(path, "", force=True)


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link", tmp_path / "there" / "a"
    link.symlink_to(target)
    write_atomically(link, "first", force=True)
    write_atomically(link, "second", force=True)
    assert link.is_symlink()
    assert target.read_text() == "second"


def test_a_dangling_link_exists_and_its_target_is_not_created_unasked(tmp_path):
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    with pytest.raises(HistoryError, match=r"exists\.\nAdd --force"):
        write_atomically(link, "x", force=False)
    assert list(tmp_path.iterdir()) == [link]


def test_a_link_that_leads_to_itself_is_not_replaced(tmp_path):
    for link, target in (("a", "b"), ("b", "a"), ("self", "self")):
        (tmp_path / link).symlink_to(tmp_path / target)
    for link in ("a", "self"):
        with pytest.raises(HistoryError, match="leads to itself"):
            write_atomically(tmp_path / link, "x", force=True)
    assert all(path.is_symlink() for path in tmp_path.iterdir())


def test_a_dangling_link_that_appears_meanwhile_is_not_written_through(tmp_path, monkeypatch):
    def no_links(*args):
        path.symlink_to(tmp_path / "nowhere")
        raise OSError(errno.EPERM, "Operation not permitted")

    path = tmp_path / "a"
    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(HistoryError, match="exists"):
        write_atomically(path, "x", force=False)
    assert list(tmp_path.iterdir()) == [path]


def special(folder: Path) -> list[Path]:
    """Files that are not regular, and links to some."""
    os.mkfifo(folder / "pipe")
    (folder / "to-pipe").symlink_to(folder / "pipe")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "full").symlink_to("/dev/full")
    return [*folder.iterdir()]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes and devices of POSIX")
def test_only_regular_files_are_read(tmp_path):
    for path in special(tmp_path):
        with pytest.raises(HistoryError, match="it is not a regular file"):
            read(path)


def test_a_regular_file_behind_a_link_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"\x00\r\n")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert read(tmp_path / "link") == b"\x00\r\n"
