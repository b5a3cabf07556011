"""Pictures and label files in every format and mode, whole and damaged, small and far too large."""

from __future__ import annotations

import io
import logging
import os
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_corpus import HEIGHT, WIDTH, blocks, broken, chunk, corpus, encoded, png
from PIL import Image, ImageOps

from edgeseg.data.pictures import (
    LIVE_LIMIT,
    PictureLimit,
    decode_image,
    decode_picture,
    read_image,
    read_label_values,
    read_pages,
    read_picture_header,
)
from edgeseg.errors import DatasetError, MissingDependencyError, SourceError
from edgeseg.installing import pip_install

pytestmark = pytest.mark.any_python

RGB = blocks()
CORPUS = corpus()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def put(tmp_path):
    """``put(data, "x.png")`` writes a file."""
    return lambda data, name="x.png": write(tmp_path / name, data)


# Whole pictures


@pytest.mark.parametrize("name", [name for name in CORPUS if "three" not in name])
def test_every_format_and_mode_gives_the_colours_that_were_saved(put, name):
    got = read_image(put(CORPUS[name]))
    mode = name.split()[1]
    if "fractions" in name or mode in ("L", "LA") or "grey" in name:
        grey = Image.fromarray(RGB).convert("L") if mode == "L" else Image.fromarray(RGB[..., 0])
        wanted = np.repeat(np.asarray(grey)[..., np.newaxis], 3, 2)
    elif "16-bit RGB" in name:
        wanted = RGB[..., ::-1]  # OpenCV saved it as BGR
    elif mode in ("1", "group4"):
        wanted = np.asarray(Image.fromarray(RGB).convert("1").convert("RGB"))
    elif "EXIF" in name:
        wanted = np.rot90(RGB, -1)
    elif mode == "P":
        wanted = np.asarray(Image.fromarray(RGB).convert("P").convert("RGB"))
    elif mode == "CMYK":
        wanted = np.asarray(Image.fromarray(RGB).convert("CMYK").convert("RGB"))
    else:
        wanted = RGB
    assert got.dtype == np.uint8
    assert got.shape == wanted.shape
    assert got.flags.c_contiguous
    assert got.flags.writeable
    lossy = name.startswith("JPEG") or name in ("TIFF jpeg", "WEBP RGB", "WEBP RGBA", "WEBP with EXIF")
    difference = np.abs(got.astype(int) - wanted)
    assert difference.mean() < 12 if lossy else difference.max() == 0


def test_alpha_is_left_out_and_what_it_hides_counts(put):
    rgba = np.dstack([RGB, np.zeros((HEIGHT, WIDTH), np.uint8)])
    for form, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        np.testing.assert_array_equal(read_image(put(encoded(Image.fromarray(rgba), form, **options))), RGB)


def test_the_content_tells_the_format_not_the_name(put):
    np.testing.assert_array_equal(read_image(put(CORPUS["BMP RGB"], "x.jpg")), RGB)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_the_same_in_all_formats(put, form, orientation):
    image = Image.fromarray(RGB)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    turned = image.copy()
    turned.getexif()[0x0112] = orientation
    wanted = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
    path = put(encoded(image, form, exif=exif, **options))
    got = read_image(path)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= (3 if form == "JPEG" else 0)
    if form != "JPEG":
        np.testing.assert_array_equal(read_label_values(path), wanted)


def test_damaged_exif_turns_nothing_and_tells_nothing(put, capfd):
    junk = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(200))
    assert read_image(put(encoded(Image.fromarray(RGB), "JPEG", exif=junk))).shape == RGB.shape
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_single_pixel_is_a_picture(put, form, size):
    image = Image.new("RGB", size[::-1], (9, 9, 9))
    assert read_image(put(encoded(image, form))).shape == (*size, 3)


# More than 8 bits


def deep(values: list[int], form: str = "PNG") -> bytes:
    return cv2.imencode(f".{form.lower()}", np.array([values], np.uint16))[1].tobytes()


@pytest.mark.parametrize(
    ("highest", "depth"), [(200, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (3871, 12), (9000, 14), (40000, 16)]
)
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_the_bit_depth_is_found_in_the_values_and_told(put, caplog, form, highest, depth):
    with caplog.at_level(logging.WARNING, logger="edgeseg"):
        got = read_image(put(deep([0, highest // 2, highest], form)))
    assert got[0, :, 0].tolist() == [0, highest // 2 >> depth - 8, highest >> depth - 8]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (depth < 16)
    if depth < 16:
        assert f"hold values up to {highest}: taken as {depth}-bit; set bit_depth" in told[0]


def test_one_bit_depth_serves_a_whole_folder(tmp_path, caplog):
    for index, highest in enumerate((300, 3000, 90)):
        write(tmp_path / f"{index}.png", deep([0, highest]))
    assert [int(read_image(tmp_path / f"{index}.png")[0, 1, 0]) for index in range(3)] == [300 >> 4, 3000 >> 4, 90 >> 4]
    assert len(caplog.records) == 1, "told once"


def test_a_bit_depth_that_is_set_settles_it(put, caplog):
    path = put(deep([0, 3000]))
    assert read_image(path, bit_depth=14)[0, 1, 0] == 3000 >> 6
    assert read_image(path, bit_depth=16)[0, 1, 0] == 3000 >> 8
    assert not caplog.records
    with pytest.raises(DatasetError, match=r"x\.png holds values up to 3000, which 10 bits.*Set bit_depth to 12"):
        read_image(path, bit_depth=10)


def test_a_picture_brighter_than_those_that_were_looked_at_is_told(tmp_path):
    for index in range(40):
        write(tmp_path / f"{index}.png", deep([0, 900 if index != 38 else 5000]))
    with pytest.raises(DatasetError, match=r"38\.png holds values up to 5000, which 10 bits.*Set bit_depth to 14"):
        read_image(tmp_path / "38.png")


def test_what_the_file_says_of_its_bits_comes_first(put, caplog):
    values = np.array([0, 1000, 4095])
    row = values.astype(">u2").tobytes()
    # Where they were, and moved up with the upper bits repeated below, as the PNG standard has it.
    for stored in (row, (values << 4 | values >> 8).astype(">u2").tobytes(), (values << 4).astype(">u2").tobytes()):
        path = put(png([stored], 3, 16, 0, chunk(b"sBIT", b"\x0c")))
        assert read_image(path)[0, :, 0].tolist() == [0, 1000 >> 4, 255]
    tiff = io.BytesIO()
    Image.fromarray(values.astype(np.uint16)[np.newaxis]).save(tiff, "TIFF", tiffinfo={281: 4095})
    assert read_image(put(tiff.getvalue(), "x.tif"))[0, :, 0].tolist() == [0, 1000 >> 4, 255]
    assert not caplog.records


def test_twelve_bits_packed_in_a_tiff(put):
    # 0, 1000, 4095, 16 as twelve bits each.
    packed = bytes([0x00, 0x03, 0xE8, 0xFF, 0xF0, 0x10])
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, len(packed))]
    tiff = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", len(tags))
    tiff += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
    assert read_image(put(tiff, "x.tif"))[0, :, 0].tolist() == [0, 1000 >> 4, 255, 1]


def test_16_bit_colours_are_scaled_as_grey_is(put):
    data = cv2.imencode(".png", np.array([[[0, 1000, 4095]]], np.uint16))[1].tobytes()
    assert read_image(put(data)).tolist() == [[[255, 1000 >> 4, 0]]]


@pytest.mark.parametrize(
    ("values", "message"),
    [([0.0, 1.5], "fractions from 0 to 1.5"), ([-1.0, 0.5], "fractions from -1"), ([float("nan"), 1.0], "fractions")],
)
def test_fractions_beyond_0_to_1_are_refused(put, values, message):
    image = Image.fromarray(np.array([values], np.float32))
    with pytest.raises(DatasetError, match=rf"x\.tif holds {message}.*Save it as 8-bit"):
        read_image(put(encoded(image, "TIFF"), "x.tif"))


# Label files


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("color_type", [0, 3])
def test_a_label_is_its_stored_value_at_any_depth(put, depth, color_type):
    values = [0, 1, 1, 0, 1, 0, 0, 1] if depth == 1 else [0, 1, 2, 3, 3, 2, 1, 0]
    bits = "".join(f"{value:0{depth}b}" for value in values)
    row = int(bits, 2).to_bytes(len(bits) // 8, "big")
    palette = [chunk(b"PLTE", bytes(range(50, 62)))] if color_type == 3 else []
    assert read_label_values(put(png([row], 8, depth, color_type, *palette))).tolist() == [values]


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_a_1_bit_label_is_0_and_1(put, form):
    mask = np.array([[True, False, True]])
    assert read_label_values(put(encoded(Image.fromarray(mask), form))).tolist() == [[1, 0, 1]]


def test_16_bit_colours_of_a_label_are_not_cut(put):
    values = np.array([[[0, 0, 0], [1, 1, 1], [10, 10, 10]]], np.uint16)
    for form in (".png", ".tiff"):
        assert read_label_values(put(cv2.imencode(form, values)[1].tobytes())).tolist() == values.tolist()


@pytest.mark.parametrize("name", ["JPEG L", "WEBP RGB", "TIFF jpeg"])
def test_a_label_compressed_with_loss_is_refused(put, name):
    with pytest.raises(DatasetError, match=r"compressed with loss, which invents classes\. Save labels as PNG"):
        read_label_values(put(CORPUS[name]))


# Several pictures in a file


@pytest.mark.parametrize("form", ["TIFF", "WEBP", "PNG", "GIF"])
def test_all_pages_are_read_where_all_are_asked_for(put, form):
    path = put(CORPUS[f"{form} of three"])
    pages = list(read_pages(path))
    assert [page.shape for page in pages] == [RGB.shape] * 3
    assert np.abs(pages[1].astype(int) - RGB[::-1, ::-1]).mean() < 12
    for read in (read_image, read_label_values):
        with pytest.raises(DatasetError, match=r"x\.png (holds several pictures|is compressed with loss)"):
            read(path)


def test_smaller_copies_and_masks_in_a_tiff_are_no_pages(put):
    grey = RGB[..., 0]
    pages = [(grey, 0), (grey[::2, ::2], 1), (grey, 4), (grey[::4, ::4], 1)]
    np.testing.assert_array_equal(read_image(put(tiff(*pages)))[..., 0], grey)
    assert len(list(read_pages(put(tiff(*pages, (grey, 0)))))) == 2


def tiff(*pages: tuple[np.ndarray, int]) -> bytes:
    """A TIFF of grey pages, each with what it says it is for."""
    data = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for grey, purpose in pages:
        pixels = len(data)
        data += np.ascontiguousarray(grey).tobytes()
        struct.pack_into("<I", data, link, len(data))
        height, width = grey.shape
        tags = [(254, purpose), (256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, pixels), (277, 1)]
        tags += [(278, height), (279, grey.size)]
        data += struct.pack("<H", len(tags))
        data += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
        link = len(data) - 4
    return bytes(data)


# HEIC


def test_heic_without_its_package_is_told_with_the_remedy(put, run_python, tmp_path):
    path = put(b"\0\0\0\x18ftypheic" + bytes(100), "x.heic")
    code = "import sys; sys.modules['pillow_heif'] = None\nfrom edgeseg.data.pictures import read_image\n"
    code += "from edgeseg.errors import MissingDependencyError\n"
    code += f"try: read_image({str(path)!r})\nexcept MissingDependencyError as e: print(e)"
    said = run_python(code).stdout
    assert "x.heic" in said
    assert "pip install pillow-heif" in said


def test_heic_is_read_whole(put):
    pillow_heif = pytest.importorskip("pillow_heif", reason="pip install pillow-heif")
    wanted = np.full((300, 500, 3), 90, np.uint8)
    wanted[200:, 400:] = (200, 20, 20)
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(wanted)).save(file, quality=95)
    got = read_image(put(file.getvalue(), "x.heic"))
    assert np.abs(got.astype(int) - wanted).mean() < 4


def test_a_heic_of_tiles_is_read_whole(data_root):
    pytest.importorskip("pillow_heif", reason="pip install pillow-heif")
    path = data_root.parent / "bugs" / "grid_1440x1080.heic"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    assert read_image(path).shape == (1080, 1440, 3)


# Damage


@pytest.mark.parametrize(
    "name", [n for n in CORPUS if n.split()[0] in ("JPEG", "PNG", "WEBP", "BMP") and "three" not in n]
)
def test_a_file_that_ends_early_is_damaged_wherever_it_ends(put, name):
    data = CORPUS[name]
    for end in np.linspace(0, len(data) - 3, 25).astype(int).tolist():
        with pytest.raises(DatasetError, match=r"x\.png is not an image or is damaged"):
            read_image(put(data[:end]))


def test_any_byte_of_png_data_that_changed_is_found(put):
    data = CORPUS["PNG L"]
    begin = data.index(b"IDAT") + 4
    for at in range(begin, data.index(b"IEND") - 8):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(DatasetError, match="the checksum of its IDAT chunk is wrong"):
            read_label_values(put(bytes(changed)))


def photograph() -> Image.Image:
    rng = np.random.default_rng(3)
    return Image.fromarray(cv2.GaussianBlur(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8), (0, 0), 1.5))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": 95},
        {"subsampling": 0},
        {"subsampling": 1},
        {"progressive": True},
        {"optimize": True},
        {"restart_marker_blocks": 8},
        {"progressive": True, "restart_marker_rows": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_hole_in_a_jpeg_is_found_and_a_whole_one_is_not_doubted(put, options, mode, capfd):
    data = encoded(photograph().convert(mode), "JPEG", **options)
    assert read_image(put(data)).shape == (240, 320, 3)
    begin = data.index(b"\xff\xda") + 14
    found = 0
    for at in np.linspace(begin, len(data) * 0.85, 12).astype(int).tolist():
        try:
            read_image(put(data[:at] + data[at + 301 :]))
        except DatasetError:
            found += 1
    assert found >= 9, "codes can find their way back after a hole, but rarely to the very end"
    assert "Corrupt JPEG" not in capfd.readouterr().err


def test_whole_jpegs_of_awkward_sizes_are_not_doubted(put):
    for size in ((1, 1), (8, 8), (9, 17), (33, 31), (64, 3)):
        for sampling in (0x111111, 0x211111, 0x221111, 0x411111):
            for progressive in (0, 1):
                options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
                data = cv2.imencode(".jpg", np.asarray(photograph().resize(size[::-1])), options)[1].tobytes()
                assert read_image(put(data)).shape == (*size, 3)


def test_bytes_after_the_end_are_no_damage(put):
    for name in ("JPEG RGB", "PNG RGB", "WEBP lossless"):
        assert read_image(put(CORPUS[name] + bytes(500))).shape == RGB.shape


def test_whatever_a_decoder_raises_is_told_in_one_line(tmp_path):
    messages = []
    for _, data in broken(700, seed=11):
        path = write(tmp_path / "x.png", data)
        for read in (read_image, read_label_values, lambda path: list(read_pages(path))):
            try:
                read(path)
            except DatasetError as error:
                messages.append(str(error))
    assert len(messages) > 700
    assert all("x.png" in message and message.isprintable() for message in messages)


# Sizes


def test_a_label_of_187_megapixels_is_ordinary(put):
    rows = [bytes(15000)] * 12499 + [bytes([7]) * 15000]
    values = read_label_values(put(png(rows, 15000, 8, 0)))
    assert values.shape == (12500, 15000)
    assert values[-1].tolist() == [7] * 15000
    assert not values[:-1].any()


BOMBS = """
import io, resource, struct, sys, zlib
import numpy as np
from PIL import Image
sys.path.insert(0, {support!r})
from picture_corpus import chunk, encoded, png
from edgeseg.errors import DatasetError
from edgeseg.data.pictures import decode_image, read_image
small = Image.new("RGB", (16, 16))
def patched(data, mark, offset, form, *values):
    data = bytearray(data)
    struct.pack_into(form, data, data.index(mark) + offset, *values)
    return bytes(data)
zeros = zlib.compress(bytes(1 << 28), 9)
text = b"x\\0\\0" + zeros
head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
bombs = dict(
    png=b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zeros) + chunk(b"IEND", b""),
    jpeg=patched(encoded(small, "JPEG"), b"\\xff\\xc0", 5, ">HH", 65500, 65500),
    gif=patched(encoded(small, "GIF"), b"GIF8", 6, "<HH", 65535, 65535),
    bmp=patched(encoded(small, "BMP"), b"BM", 18, "<ii", 100000, 100000),
    tiff=b"II*\\0\\x08\\0\\0\\0\\x02\\0" + struct.pack("<HHIIHHIII", 256, 4, 1, 99999, 257, 4, 1, 99999, 0),
    webp=patched(encoded(small, "WEBP", save_all=True, append_images=[small.rotate(9, fillcolor=9)]), b"VP8X", 12,
                 "<6B", 255, 63, 0, 255, 63, 0),
)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), -1))
for name, data in bombs.items():
    open({path!r}, "wb").write(data)
    for read in (read_image, lambda path: decode_image(data, "it")):
        try:
            read({path!r})
        except DatasetError as error:
            print(name, error)
for kind, body in ((b"iCCP", text), (b"zTXt", text), (b"iTXt", b"x\\0\\1\\0\\0\\0" + zeros)):
    open({path!r}, "wb").write(png([bytes(4)] * 4, 4, 8, 0, chunk(kind, body)))
    print(kind.decode(), read_image({path!r}).shape)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as Linux does it")
def test_small_files_that_would_be_gigabytes_take_no_memory(run_python, tmp_path):
    support = str(Path(__file__).parents[2] / "support")
    done = run_python(BOMBS.format(support=support, path=str(tmp_path / "x.png")))
    lines = done.stdout.splitlines()
    assert done.rc == 0, done.stderr
    assert [line.split()[0] for line in lines] == [
        *(name for name in ("png", "jpeg", "gif", "bmp", "tiff", "webp") for _ in range(2)),
        *("iCCP", "zTXt", "iTXt"),
    ]
    assert all("megapixels that are read" in line for line in lines[:12]), done.stdout
    assert all(line.endswith("(4, 4, 3)") for line in lines[12:])


def test_a_limit_can_be_set_and_a_live_one_is_small():
    data = encoded(Image.new("RGB", (400, 100)), "JPEG")
    assert decode_image(data, "it").shape == (100, 400, 3)
    with pytest.raises(SourceError, match="camera 1 is 400x100, more than"):
        decode_image(data, "camera 1", limit=PictureLimit(399, 1 << 20), error=SourceError)
    with pytest.raises(SourceError, match="camera 1 is 400x100, more than"):
        decode_image(data, "camera 1", limit=PictureLimit(400, 39999), error=SourceError)
    assert LIVE_LIMIT.area_px >= 7680 * 4320
    with pytest.raises(SourceError, match="camera 1 is not an image or is damaged"):
        decode_image(data[:-20], "camera 1", error=SourceError)


def test_a_jpeg_of_endless_scans_is_refused(put):
    data = encoded(photograph(), "JPEG", progressive=True)
    begin = data.rindex(b"\xff\xda")
    with pytest.raises(DatasetError, match="more than 100 scans"):
        read_image(put(data[:begin] + data[begin:-2] * 200 + b"\xff\xd9"))


# Files that are none


@pytest.mark.parametrize("read", [read_image, read_label_values, lambda path: next(read_pages(path))])
def test_what_is_no_file_is_told(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name, message in (
        ("pipe.png", "is not a file"),
        ("folder.png", "is a folder"),
        ("loop.png", "cannot be read"),
        ("none.png", "cannot be read .*Correct the path"),
        ("n" * 300 + ".png", "cannot be read"),
        ("nul\0.png", "is no path"),
    ):
        with pytest.raises(DatasetError, match=message):
            read(tmp_path / name)


FORBIDDEN = """
import os, sys
from pathlib import Path
from edgeseg.errors import EdgesegError
from edgeseg.data.image_files import list_images
from edgeseg.data.pictures import read_image
root = Path(sys.argv[1])
if os.getuid() == 0:  # who may read everything
    os.setgid(65534)
    os.setuid(65534)
for read, name in ((read_image, "secret.png"), (list_images, "closed"), (read_image, "closed/a.png")):
    try:
        read(root / name)
    except EdgesegError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_files_and_folders_that_may_not_be_read_are_told():
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        folder.chmod(0o755)
        write(folder / "secret.png", CORPUS["PNG L"]).chmod(0)
        (folder / "closed").mkdir()
        write(folder / "closed" / "a.png", CORPUS["PNG L"])
        (folder / "closed").chmod(0)
        command = [sys.executable, "-c", FORBIDDEN, root]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        (folder / "closed").chmod(0o755)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert lines[0].endswith("secret.png cannot be read (Permission denied). Allow it to be read.")
    assert lines[1].endswith("closed cannot be entered (Permission denied). Allow it to be read.")
    assert lines[2].endswith("a.png cannot be read (Permission denied). Allow it to be read.")


def test_missing_heif_names_the_file_in_a_folder(tmp_path, run_python):
    write(tmp_path / "IMG_1.HEIC", b"\0\0\0\x18ftypheic" + bytes(100))
    code = "import importlib.util as u; real = u.find_spec\n"
    code += "u.find_spec = lambda name, *rest: None if name == 'pillow_heif' else real(name, *rest)\n"
    code += "from pathlib import Path; from edgeseg.data.image_files import list_images\n"
    code += f"try: list_images(Path({str(tmp_path)!r}))\nexcept ImportError as e: print(e)"
    remedy = f"Run: {pip_install('pillow-heif')}, or save it as JPEG"
    assert f"IMG_1.HEIC is a HEIC picture, which needs pillow-heif. {remedy}" in run_python(code).stdout
    assert issubclass(MissingDependencyError, ImportError)


def test_zlib_is_not_asked_for_more_than_the_picture(put):
    packed = zlib.compress(bytes(1 << 26), 9)
    header = struct.pack(">IIBBBBB", 40, 40, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    assert not read_label_values(put(data)).any()


# Small copies


@pytest.mark.parametrize(("least_px", "size"), [(12, (12, 16)), (13, (24, 32)), (25, (48, 64)), (49, (96, 128))])
def test_jpeg_is_decoded_at_the_smallest_size_that_is_enough(put, least_px, size):
    picture = np.kron(np.arange(48, dtype=np.uint8).reshape(6, 8), np.ones((16, 16), np.uint8)) * 5
    exif = Image.Exif()
    exif[0x0112] = 6
    path = put(encoded(Image.fromarray(picture), "JPEG", quality=95, exif=exif), "x.jpg")
    small = decode_picture(read_picture_header(path), path, least_px=least_px)
    assert small.shape == (*size[::-1], 3)
    whole = read_image(path)
    factor = 96 // size[0]
    np.testing.assert_allclose(small, whole[factor // 2 :: factor, factor // 2 :: factor], atol=8)


def test_other_formats_are_decoded_whole(put):
    path = put(encoded(Image.fromarray(RGB), "PNG"))
    np.testing.assert_array_equal(decode_picture(read_picture_header(path), path, least_px=1), RGB)
