from __future__ import annotations

import random
from datetime import date

import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg.data.dataset import LABEL_SUFFIXES, Dataset, LabelCoding, list_images, read_image
from edgeseg.errors import DatasetError

LABELS = np.array([[0, 1, 2], [2, 11, 255]], np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """A dataset of two images in one split, with its dataset.yaml."""
    for name in ("a", "b"):
        save(tmp_path / "images" / f"{name}.jpg", np.full((2, 3, 3), 90, np.uint8))
        save(tmp_path / "labels" / f"{name}.png", LABELS)
    write_yaml(tmp_path)
    return tmp_path


def write_yaml(folder, **changes):
    content = {
        "names": ["x", "y", "z"],
        "ignore_index": 11,
        "splits": {"val": {"images": "images", "labels": "labels"}},
        **changes,
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))


def test_image_and_labels_are_read_with_the_ignore_value_mapped(folder):
    dataset = Dataset.load(folder)
    samples = dataset.split("val").samples()
    assert [sample.image.name for sample in samples] == ["a.jpg", "b.jpg"]
    image, labels = dataset.read(samples[0])
    assert image.shape == (2, 3, 3)
    assert labels.tolist() == [[0, 1, 2], [2, 255, 255]]
    assert dataset.colors[1] == (128, 0, 0)


def test_include_picks_files_by_name(folder):
    write_yaml(folder, splits={"val": {"images": "images", "labels": "labels", "include": ["b*"]}})
    assert [s.image.name for s in Dataset.load(folder).split("val").samples()] == ["b.jpg"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 3}, "unknown key 'classes' in the file"),
        ({"names": None}, "lacks 'names'"),
        ({"names": []}, "names has 0 entries"),
        ({"names": ["x", "x"]}, "names has 2 entries"),
        ({"names": "xyz"}, "names is not a list"),
        ({"colors": [[0, 0, 0]]}, "3 names but 1 colors"),
        ({"colors": [[0, 0, 0], [0, 0, 256], [1, 1, 1]]}, r"colour \[0, 0, 256\]"),
        ({"ignore_index": "void"}, "ignore_index is 'void'"),
        ({"ignore_index": 256}, "ignore_index is 256"),
        ({"label_format": "bgr"}, "label_format is 'bgr'"),
        ({"label_format": "rgb"}, "there are no colors"),
        ({"ignore_colors": [[1, 2, 3]]}, "ignore_colors is for label_format rgb, not index"),
        ({"ignore_colors": [1, 2, 3], "label_format": "rgb", "colors": [[0, 0, 0], [9, 9, 9], [1, 1, 1]]}, "colour 1"),
        (
            {"ignore_colors": [[9, 9, 9]], "label_format": "rgb", "colors": [[0, 0, 0], [9, 9, 9], [1, 1, 1]]},
            r"\[9, 9, 9\] is in ignore_colors, and the colour of a class",
        ),
        ({"splits": {}}, "splits is empty"),
        ({"splits": {"val": {"images": "images"}}}, "splits.val lacks 'labels'"),
        ({"splits": {"val": {"images": "i", "labels": "l", "mask": "m"}}}, "unknown key 'mask' in splits.val"),
        ({"names": ["x", "y", True]}, "names holds True where a name must be.*in quotes"),
        ({"names": ["x", "y", 1.5]}, "names holds 1.5"),
        ({"names": ["x", "y", ["z"]]}, r"names holds \['z'\]"),
        ({"names": ["x", "y", date(2024, 1, 2)]}, "names holds a date"),
        ({"names": ["x", "y", ""]}, "names holds ''.*printable"),
        ({"names": ["x", "y", "\x1b[31mz"]}, r"names holds '\\x1b\[31mz'"),
        ({"names": ["x", "y", "z" * 300]}, "names holds 'zzz"),
        ({"colors": [[0, 0, 0], [0, 0, 0.5], [1, 1, 1]]}, "colour"),
        ({"colors": [[0, 0, 0], [0, True, 0], [1, 1, 1]]}, "colour"),
        ({"label_format": ["rgb"]}, "label_format is"),
        ({"label_format": "binary"}, "label_format is binary, but there are 3 names"),
        ({"bit_depth": 13}, "bit_depth is 13.*Use one of 8, 10, 12, 14, 16"),
        ({"bit_depth": True}, "bit_depth is True"),
        ({"bit_depth": [12]}, "bit_depth is"),
        ({"splits": ["val"]}, "splits is not a mapping"),
        ({"splits": {"val": "images"}}, "splits.val is not a mapping"),
        ({"splits": {True: {"images": "i", "labels": "l"}}}, "splits holds True"),
        ({"splits": {"val": {"images": ["i"], "labels": "l"}}}, r"splits.val.images is \['i'\]"),
        ({"splits": {"val": {"images": "", "labels": "l"}}}, "splits.val.images is ''"),
        ({"splits": {"val": {"images": "i", "labels": True}}}, "splits.val.labels is True"),
        ({"splits": {"val": {"images": "i", "labels": "l", "include": [3]}}}, "include holds 3"),
        ({"splits": {"val": {"images": "i", "labels": "l", "include": {"a": 1}}}}, "include is not a list"),
    ],
)
def test_a_wrong_dataset_yaml_names_the_file_and_the_key(folder, changes, message):
    write_yaml(folder, **changes)
    with pytest.raises(DatasetError, match=message) as caught:
        Dataset.load(folder)
    assert "dataset.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["names: [a", "- 1", ""])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(DatasetError, match=r"dataset\.yaml"):
        Dataset.load(tmp_path)


def test_words_of_yaml_1_1_and_numbers_are_names(folder):
    text = (folder / "dataset.yaml").read_text()
    (folder / "dataset.yaml").write_text(text.replace("- x", "- off").replace("- y", "- on").replace("- z", "- 7"))
    assert Dataset.load(folder).names == ("off", "on", "7")


def test_folders_may_lead_elsewhere_and_be_numbers(tmp_path):
    save(tmp_path / "elsewhere" / "a.png", np.zeros((2, 3, 3), np.uint8))
    save(tmp_path / "data" / "7" / "a.png", np.zeros((2, 3), np.uint8))
    (tmp_path / "data" / "dataset.yaml").write_text(
        "names: [x, y, z]\nsplits:\n  1: {images: ../elsewhere, labels: 7}\n  2: {images: %s, labels: ./7/../7}\n"
        % (tmp_path / "elsewhere")
    )
    dataset = Dataset.load(tmp_path / "data")
    for split in ("1", "2"):
        (sample,) = dataset.split(split).samples()
        assert dataset.read(sample)[1].shape == (2, 3)


WORDS = [
    *("names", "splits", "images", "labels", "include", "colors", "ignore_index", "label_format", "bit_depth", "val"),
    *("index", "rgb", "binary", "a", "*", "~", "null", "true", "off", "0", "255", "-1", "1e999", "0x1F", "2024-01-02"),
    *("[", "]", "{", "}", ": ", "- ", ", ", "\n", "\n  ", "'", '"', "&a", "*a", "!!python/object:os.system", "<<", "#"),
    *("\\ud800", "\x1b[2J", "\u202e", "é", "../../..", "/dev/null", "|\n ", "? "),
]


def test_a_garbled_dataset_yaml_is_one_line(folder):
    whole = (folder / "dataset.yaml").read_text()
    rng = random.Random(5)
    loaded = 0
    for _ in range(1500):
        text = whole
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(WORDS) + text[at + rng.choice([0, 0, 1, 5, 40]) :]
        (folder / "dataset.yaml").write_text(text)
        try:
            for split in Dataset.load(folder).splits.values():
                split.samples()
            loaded += 1
        except DatasetError as error:
            message = str(error)
            if not message.isprintable():
                pytest.fail(f"{message!r} of {text!r}")
    assert 20 < loaded < 1400


def test_a_dataset_yaml_with_its_own_bit_depth(folder):
    for path in (folder / "images").iterdir():
        path.unlink()
    save(folder / "images" / "a.png", np.array([[0, 1000, 3000]] * 2, np.uint16))
    save(folder / "images" / "b.png", np.array([[0, 1000, 3000]] * 2, np.uint16))
    write_yaml(folder, bit_depth=14)
    dataset = Dataset.load(folder)
    assert dataset.read(dataset.split("val").samples()[0])[0][0, :, 0].tolist() == [0, 1000 >> 6, 3000 >> 6]


def test_missing_dataset_and_missing_split(folder):
    with pytest.raises(DatasetError, match="no dataset at"):
        Dataset.load(folder / "nowhere")
    with pytest.raises(DatasetError, match=r"no split 'test'.*Use one of val"):
        Dataset.load(folder).split("test")


def test_an_image_without_a_label_is_named(folder):
    (folder / "labels" / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 images.*b\.jpg"):
        Dataset.load(folder).split("val").samples()


def test_two_images_of_one_stem_are_refused(folder):
    save(folder / "images" / "a.png", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(DatasetError, match="share one stem"):
        Dataset.load(folder).split("val").samples()


def test_a_text_file_among_the_images_is_named(folder):
    (folder / "images" / "notes.txt").write_text("hello")
    with pytest.raises(DatasetError, match=r"notes\.txt, which is not an image"):
        Dataset.load(folder).split("val").samples()


def test_hidden_files_are_passed_over(folder):
    (folder / "images" / ".DS_Store").write_text("")
    assert len(list_images(folder / "images")) == 2


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(DatasetError, match="is empty"):
        list_images(tmp_path, LABEL_SUFFIXES)
    with pytest.raises(DatasetError, match="there is no folder"):
        list_images(tmp_path / "nowhere")


def test_sizes_that_differ_are_told_in_pixels(folder):
    save(folder / "labels" / "a.png", np.zeros((4, 5), np.uint8))
    dataset = Dataset.load(folder)
    with pytest.raises(DatasetError, match=r"a\.jpg is 3x2 but its label .*a\.png is 5x4"):
        dataset.read(dataset.split("val").samples()[0])


def test_an_index_outside_the_classes_names_file_and_index(folder):
    path = save(folder / "labels" / "a.png", np.full((2, 3), 7, np.uint8))
    with pytest.raises(DatasetError, match=r"a\.png holds label index 7, but the classes are 0\.\.2"):
        Dataset.load(folder).coding.read(path)


@pytest.mark.parametrize("form", ["index", "palette", "sixteen bit", "grey as rgb", "with alpha"])
def test_index_files_in_all_their_forms(tmp_path, form):
    path = tmp_path / "label.png"
    if form == "palette":
        image = Image.fromarray(LABELS).convert("P")
        image.putdata(LABELS.ravel().tolist())
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
        image.save(path)
    else:
        rgba = np.dstack([LABELS, LABELS, LABELS, np.full_like(LABELS, 255)])
        arrays = {
            "index": LABELS,
            "sixteen bit": LABELS.astype(np.uint16),
            "grey as rgb": np.repeat(LABELS[..., None], 3, 2),
        }
        save(path, arrays.get(form, rgba))
    assert LabelCoding(3, ignore_index=11).read(path).tolist() == [[0, 1, 2], [2, 255, 255]]


def test_values_over_8_bit_are_refused(tmp_path):
    path = save(tmp_path / "label.png", np.full((2, 2), 1000, np.uint16))
    with pytest.raises(DatasetError, match="label values up to 1000"):
        LabelCoding(3).read(path)


def test_ignore_index_may_be_a_class_index(tmp_path):
    path = save(tmp_path / "label.png", np.array([[0, 1, 2]], np.uint8))
    assert LabelCoding(3, ignore_index=0).read(path).tolist() == [[255, 1, 2]]


def test_colour_labels(tmp_path):
    rgb = np.array([[[255, 0, 0], [0, 0, 255], [0, 0, 0]]], np.uint8)
    path = save(tmp_path / "label.png", rgb)
    coding = LabelCoding(2, colors=((255, 0, 0), (0, 0, 255)), format="rgb")
    assert coding.read(path).tolist() == [[0, 1, 255]]
    with pytest.raises(DatasetError, match=r"colour \[0, 0, 255\], which no class has"):
        LabelCoding(1, colors=((255, 0, 0),), format="rgb").read(path)
    with pytest.raises(DatasetError, match="label_format: rgb"):
        LabelCoding(2).read(path)


def test_colours_that_mean_no_label(tmp_path):
    """As the border around the objects of PASCAL VOC."""
    rgb = np.array([[[0, 0, 0], [128, 0, 0], [224, 224, 192], [9, 9, 9]]], np.uint8)
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        save(tmp_path / kind / "one.png", rgb)
    described = {
        "names": ["background", "aeroplane"],
        "colors": [[0, 0, 0], [128, 0, 0]],
        "label_format": "rgb",
        "ignore_colors": [[224, 224, 192], [9, 9, 9]],
        "splits": {"val": {"images": "images", "labels": "labels"}},
    }
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(described))
    dataset = Dataset.load(tmp_path)
    (sample,) = dataset.split("val").samples()
    assert dataset.read(sample)[1].tolist() == [[0, 1, 255, 255]]
    del described["ignore_colors"][1]
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(described))
    with pytest.raises(DatasetError, match=r"colour \[9, 9, 9\], which no class has.*ignore_colors"):
        Dataset.load(tmp_path).split("val").samples()[0].read_labels()


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_damaged_and_missing_files(tmp_path, content):
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"x\.png"):
        read_image(path)
    with pytest.raises(DatasetError, match=r"x\.png"):
        LabelCoding(3).read(path)


def test_truncated_image(tmp_path):
    noise = np.random.default_rng(0).integers(0, 9, (64, 64), dtype=np.uint8)
    path = save(tmp_path / "x.png", noise)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DatasetError, match="is damaged"):
        LabelCoding(9).read(path)


def test_grey_images_become_rgb(tmp_path):
    assert read_image(save(tmp_path / "x.png", np.full((2, 3), 7, np.uint8))).tolist() == [[[7] * 3] * 3] * 2


def test_the_dataset_above_a_label_folder_is_found(folder, tmp_path):
    found = Dataset.find_above(folder / "labels")
    assert found is not None
    assert found.names == ("x", "y", "z")
    assert Dataset.find_above(folder / "images") is None


def test_real_data_can_be_read(data_root):
    for name, count in (("camvid", 101), ("magnetic_tile", 40)):
        dataset = Dataset.load(data_root / name)
        samples = dataset.split("val").samples()
        assert len(samples) == count
        for sample in samples[:: count // 5]:
            image, labels = dataset.read(sample)
            assert image.shape[:2] == labels.shape
