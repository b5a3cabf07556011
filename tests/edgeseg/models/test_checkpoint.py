"""Checkpoints: what is saved comes back; what is damaged, foreign or malicious is refused in one line."""

from __future__ import annotations

import os
import pickle
import random
import zipfile
from dataclasses import replace

import pytest
import torch
from peak_memory import PEAK_MIB

from edgeseg.errors import EdgesegError, ModelError, SinkError
from edgeseg.models.checkpoint import load_network, load_trusted, save_atomically, save_network
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec

SPEC = ModelSpec("enet", ("a", "b", "c"), input_size=(64, 96), metrics={"val_miou": 0.5})


@pytest.fixture
def saved(tmp_path):
    """A checkpoint's path and its network."""
    network = build("enet", 3)
    save_network(tmp_path / "model.pt", network, SPEC)
    return tmp_path / "model.pt", network


def test_a_network_comes_back_with_its_spec_ready_to_infer(saved):
    path, network = saved
    loaded, spec = load_network(path)
    assert spec == SPEC
    assert not loaded.training
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network.eval()(images))
    assert [p.name for p in path.parent.iterdir()] == ["model.pt"]


def test_a_failed_save_leaves_the_old_file_whole(saved):
    path, _ = saved
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        save_atomically(path, {"spec": SPEC.to_json(), "model": lambda: None})
    assert path.read_bytes() == before


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"there is no checkpoint .*gone\.pt"):
        load_network(tmp_path / "gone.pt")


@pytest.mark.filterwarnings("error")
def test_any_damage_is_one_line(saved):
    path, _ = saved
    whole, rng = path.read_bytes(), random.Random(0)
    damages = [b"", b"hello", b"]}.", whole[:100], whole[: len(whole) // 2], whole[:-1]]
    damages += [rng.randbytes(rng.randrange(1, 200)) for _ in range(200)]
    for damaged in damages:
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"model\.pt is not a checkpoint") as caught:
            load_network(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "is not a checkpoint of edgeseg"),
        ({"weights": 1}, "is not a model of edgeseg"),
        ({"spec": "{", "model": {}}, "not JSON"),
        ({"spec": SPEC.to_json(), "model": {}}, "do not fit enet"),
        ({"spec": SPEC.to_json(), "model": [1]}, "do not fit enet"),
        ({"spec": replace(SPEC, network="nonet").to_json(), "model": {}}, "no network 'nonet'"),
    ],
)
def test_foreign_content_is_one_line(tmp_path, content, message):
    torch.save(content, tmp_path / "foreign.pt")
    with pytest.raises(EdgesegError, match=message) as caught:
        load_network(tmp_path / "foreign.pt")
    assert "\n" not in str(caught.value)


def test_weights_of_another_number_of_classes(saved):
    path, network = saved
    torch.save(
        {"spec": replace(SPEC, class_names=("a", "b"), colors=()).to_json(), "model": network.state_dict()}, path
    )
    with pytest.raises(ModelError, match=r"model\.pt do not fit enet"):
        load_network(path)


class _Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [torch.save, lambda obj, path: path.write_bytes(pickle.dumps(obj))])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, write):
    write({"spec": SPEC.to_json(), "model": _Malicious(tmp_path / "harm")}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="is not a checkpoint"):
        load_network(tmp_path / "model.pt")
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_that_cannot_be_written_is_an_error_of_the_output(tmp_path):
    (tmp_path / "model.pt").mkdir()  # in the way
    with pytest.raises(SinkError, match=r"model\.pt cannot be written \(Is a directory\)\. Choose another name"):
        save_atomically(tmp_path / "model.pt", {"epoch": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


FULL_DISK = """
import resource, signal
from pathlib import Path
import torch
from edgeseg.models.checkpoint import save_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
save_atomically(Path({path!r}), {{"weights": torch.zeros(10_000)}})
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are POSIX's")
def test_a_file_that_finds_no_room_leaves_the_old_one_and_nothing_else(tmp_path, run_python):
    (tmp_path / "model.pt").write_bytes(b"the old one")
    done = run_python(FULL_DISK.format(path=str(tmp_path / "model.pt")))
    assert done.rc == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("edgeseg.errors.SinkError: ")
    assert "model.pt cannot be written (File too large)" in last
    assert (tmp_path / "model.pt").read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_two_writers_of_one_path_do_not_meet(tmp_path):
    (tmp_path / "model.pt.part").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_bytes(b"mine")
    save_atomically(tmp_path / "model.pt", {"epoch": 1})
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert load_trusted(tmp_path / "model.pt") == {"epoch": 1}


def test_weights_that_are_no_finite_numbers_are_refused(tmp_path):
    for value in (float("nan"), float("inf")):
        network = build("enet", 3)
        with torch.no_grad():
            network.stage1[0].extension[1].running_var[3] = value
        save_network(tmp_path / "model.pt", network, SPEC)
        with pytest.raises(ModelError, match=r"model\.pt are not all finite numbers \(stage1\.0\.extension\.1\.run"):
            load_network(tmp_path / "model.pt")


def repacked(source, target, compression=zipfile.ZIP_STORED, **contents):
    """The archive with members replaced whose last part of the name is a key; ``_`` stands for the dot."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            content = contents.get(name.rpartition("/")[2].replace(".", "_"), old.read(name))
            new.writestr(name, content)
    return target


def huge_bytearray(count):
    return b"\x80\x02cbuiltins\nbytearray\nq\x00J" + count.to_bytes(4, "little") + b"\x85R."


MEMORY = """
from pathlib import Path
from edgeseg.errors import EdgesegError
from edgeseg.models.checkpoint import load_network
before = peak_mib()
try:
    load_network(Path({path!r}))
except EdgesegError as error:
    print(error)
print(peak_mib() - before)
"""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda saved, path: repacked(saved, path, zipfile.ZIP_DEFLATED, **{"0": bytes(1 << 29)}),
            "is not a checkpoint: it is compressed",
        ),
        (
            lambda saved, path: repacked(saved, path, data_pkl=huge_bytearray((1 << 31) - 1)),
            "holds more than tensors and plain values",
        ),
        (
            lambda saved, path: os.truncate(path.write_bytes(saved.read_bytes()) and path, 1 << 34) or path,
            "is larger than 1 GiB",
        ),
    ],
    ids=["compressed", "made of a number", "sparse"],
)
def test_a_small_file_does_not_take_gigabytes(saved, tmp_path, run_python, make, message):
    path = make(saved[0], tmp_path / "bomb.pt")
    done = run_python(PEAK_MIB + MEMORY.format(path=str(path)))
    assert done.rc == 0, done.stderr
    told, grown_mib = done.stdout.splitlines()
    assert message in told
    assert int(grown_mib) < 300  # torch's own modules among them


def test_a_tensor_that_says_it_is_larger_than_its_data(saved, tmp_path):
    path, _ = saved
    with zipfile.ZipFile(path) as archive:
        plan = next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    says_351 = b"M\x5f\x01tq"  # the first convolution: 13 x 3 x 3 x 3
    assert says_351 in plan
    lying = plan.replace(says_351, b"J" + (10**8).to_bytes(4, "little") + b"tq", 1)
    with pytest.raises(ModelError, match="is not a checkpoint or is damaged"):
        load_network(repacked(path, tmp_path / "lying.pt", data_pkl=lying))


def test_members_that_share_their_bytes_are_refused(saved, tmp_path):
    """Many names of one member, as "a better zip bomb" has them."""
    path, _ = saved
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.infolist()[0]
        archive.filelist += [first] * 20_000
        archive._didModify = True
    with pytest.raises(ModelError, match="is not a checkpoint"):
        load_network(path)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", tmp_path):
        with pytest.raises(ModelError, match="is not a file"):
            load_network(path)


def test_a_name_in_a_file_does_not_steer_the_terminal(saved, tmp_path):
    _, network = saved
    for weights in ({"\x1b[2J": torch.zeros(1)}, {"\x1b[2J": 3, **network.state_dict()}, "\x1b[2J"):
        torch.save({"spec": SPEC.to_json(), "model": weights}, tmp_path / "hostile.pt")
        with pytest.raises(ModelError) as caught:
            load_network(tmp_path / "hostile.pt")
        assert str(caught.value).isprintable()


def test_single_bytes_changed_are_one_line_or_harmless(saved):
    """Not in the numbers, which take most of the file and are only numbers: in what says where they lie."""
    path, _ = saved
    whole, rng = path.read_bytes(), random.Random(1)
    with zipfile.ZipFile(path) as archive:
        plan = next(member for member in archive.infolist() if member.filename.endswith("data.pkl"))
    places = [*range(plan.header_offset, plan.header_offset + plan.file_size), *range(archive.start_dir, len(whole))]
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.sample(places, rng.randrange(1, 4)):
            damaged[place] = rng.randrange(256)
        path.write_bytes(damaged)
        told = ""
        try:
            load_network(path)
        except EdgesegError as error:
            told = str(error)
        assert "\n" not in told
