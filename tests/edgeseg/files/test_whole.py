"""Files: written whole or not at all, also by several processes; never over what is read."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseg.errors import SinkError
from edgeseg.files.whole import cannot_write, keep_apart, locked, same_file, write_whole, written_whole


def test_a_block_that_ends_well_replaces_the_file(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with written_whole(path) as part:
        part.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), written_whole(path) as part:
        part.write_bytes(b"half" * (1 // 0))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_path_do_not_meet(tmp_path):
    path = tmp_path / "out.bin"
    with written_whole(path) as one, written_whole(path) as other:
        assert one != other
        one.write_bytes(b"one")
        other.write_bytes(b"other")
    assert path.read_bytes() == b"one"  # the outer block ends last
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_about_another_file_is_not_called_unwritable(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.onnx"), written_whole(tmp_path / "out.bin"):
        (tmp_path / "model.onnx").read_bytes()


def test_a_full_disk_is_told_with_its_remedy(tmp_path):
    with pytest.raises(SinkError, match=r"cannot be written .*Free some space"), written_whole(tmp_path / "out.bin"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_name_too_long_is_told_before_the_work(tmp_path):
    with pytest.raises(SinkError, match="at most 255 bytes"), written_whole(tmp_path / ("x" * 256)):
        pytest.fail("the work began")


def test_a_name_of_the_greatest_length_is_written(tmp_path):
    path = tmp_path / ("ä" * 127)
    write_whole(path, "text")
    assert path.read_text() == "text"


def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda _: "0" * 16)
    (tmp_path / ".out.0000000000000000.part").symlink_to(victim)
    with pytest.raises(SinkError):
        write_whole(tmp_path / "out", "theirs")
    assert victim.read_text() == "mine"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_permissions_stay(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(0o640)
    write_whole(path, "new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_left_alone(tmp_path):
    path = tmp_path / "out"
    abandoned = tmp_path / f".out.{'a' * 16}.part"
    abandoned.write_text("half")
    with written_whole(path) as living:
        write_whole(path, "text")
        assert living.exists()
    assert not abandoned.exists()


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
def test_an_interrupt_between_any_two_steps_leaves_no_part(tmp_path):
    script = """
import contextlib, sys
from pathlib import Path
from edgeseg.files import whole as files

folder = Path(sys.argv[1])
ours = {files.__file__, contextlib.__file__}


def interrupt_at(step):
    left = iter(range(step))

    def trace(frame, event, _):
        if frame.f_code.co_filename not in ours:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode" and next(left, None) is None:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)


kept = []  # as a caller may keep an exception, and all that it refers to
for step in range(100_000):
    (folder / str(step)).mkdir()
    try:
        interrupt_at(step)
        with files.written_whole(folder / str(step) / "out") as part:
            part.write_bytes(b"whole")
        sys.settrace(None)
        break
    except KeyboardInterrupt as error:
        kept.append(error)
print(step)
"""
    command = [sys.executable, "-c", script, tmp_path]
    steps = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout)
    assert steps > 100
    assert (tmp_path / str(steps) / "out").exists()
    assert {path.name for path in tmp_path.glob("*/*")} == {"out"}
    assert {path.read_bytes() for path in tmp_path.glob("*/*")} == {b"whole"}


def test_a_lock_keeps_another_process_waiting(tmp_path):
    target = tmp_path / "engine"
    code = f"""
from edgeseg.files.whole import locked
print("begun", flush=True)
with locked({str(target)!r}):
    print(open({str(target)!r}).read(), flush=True)
"""
    with locked(target):
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        target.write_text("built")
    assert other.communicate()[0] == "built\n"


@pytest.mark.parametrize("name", ["a.png", "./a.png", "sub/../a.png", "link.png"])
def test_an_output_that_is_an_input_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("a.png").write_bytes(b"1")
    Path("link.png").symlink_to("a.png")
    assert same_file(name, "a.png")
    with pytest.raises(SinkError, match="would be lost"):
        keep_apart([name], [tmp_path / "a.png"])


def test_an_output_folder_that_holds_inputs_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"1")
    with pytest.raises(SinkError, match="where this run would write"):
        keep_apart([tmp_path / "photos"], [tmp_path / "photos/a.jpg"])
    with pytest.raises(SinkError, match="read by this run"):
        keep_apart([tmp_path / "photos"], [tmp_path / "photos"])


def test_other_places_and_devices_are_fine(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"1")
    keep_apart([tmp_path / "masks", tmp_path / "photos/a.png", "/dev/null"], [tmp_path / "photos/a.jpg", "/dev/null"])


def test_a_name_that_is_too_long_is_no_input(tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    keep_apart([tmp_path / ("x" * 300)], [tmp_path / "a.png"])


def test_a_path_that_is_not_there_yet_is_known_by_its_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    assert same_file(tmp_path / "new.mp4", tmp_path / "link/new.mp4")
    assert not same_file(tmp_path / "new.mp4", tmp_path / "old.mp4")


def test_each_reason_has_its_remedy():
    assert "may write to" in str(cannot_write("a", PermissionError(errno.EACCES, "Permission denied")))
    assert "folder" in str(cannot_write("a", FileNotFoundError(errno.ENOENT, "No such file or directory")))
