"""What a person may bring as pictures, and what is refused with which sentence."""

import struct
import warnings
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer import data
from explorer.data import own_pictures
from explorer.data.own import add_images
from explorer.errors import ExplorerError
from explorer.settings import settings

RED, BLUE = (220, 30, 30), (30, 30, 220)


def encoded(colour=RED, size=(12, 10), mode="RGB", form="PNG", **options):
    content = BytesIO()
    Image.new(mode, size, colour).save(content, form, **options)
    return content.getvalue()


def noise(form):
    """24×24 random pixels, which no format shrinks much."""
    content = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(content, form)
    return content.getvalue()


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    content = BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    content.seek(0)
    return content


def two_classes(count=10, prefix="", **more):
    files = {f"{prefix}{name}/{i:02}.png": encoded(colour) for name, colour in (("blue", BLUE), ("red", RED))
             for i in range(count)}  # fmt: skip
    return files | more


def header_only(width, height):
    """A PNG that says it is this large and holds nothing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def refused(source, words, **settings):
    with pytest.raises(ExplorerError, match=words):
        add_images(source, **settings)
    assert not (data.own.settings().data / "own").exists()  # nothing is left behind


def all_of(name):
    splits = [data.load(name, split) for split in data.SPLITS]
    return np.concatenate([split.x for split in splits]), np.concatenate([split.y for split in splits])


def test_a_zip_of_class_folders_becomes_a_data_set():
    name = add_images(zipped(two_classes()), "my\ncolours.zip", side=32)
    about = data.about(name)
    assert (about.title, about.task, about.shape, about.classes) == ("my colours.zip", "image", (3, 32, 32), 2)
    assert about.summary == "20 pictures of 2 classes that a person brought."
    sizes = {split: len(data.load(name, split)) for split in data.SPLITS}
    assert sizes == {"train": 14, "validation": 2, "test": 4}
    for split in data.SPLITS:
        found = data.load(name, split)
        assert found.labels == ("blue", "red")
        assert found.x.dtype == np.uint8
        assert not found.x.flags.writeable
        assert set(found.y) == {0, 1}
        for picture, label in zip(found.x, found.y, strict=True):
            assert (picture == (BLUE, RED)[label]).all()
    assert data.load(name, "test", seed=1).x.shape == (4, 32, 32, 3)


def test_a_folder_is_read_like_a_zip(tmp_path):
    for name, body in two_classes(3).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(body)
    assert len(all_of(add_images(tmp_path))[1]) == 6
    path = tmp_path / "set.zip"
    path.write_bytes(zipped(two_classes(3)).getvalue())
    assert len(all_of(add_images(path))[1]) == 6


@pytest.mark.parametrize("prefix", ["colours/", "a/b/"])
def test_one_folder_around_everything_and_what_systems_leave_behind_are_ignored(prefix):
    litter = {"__MACOSX/red/._00.png": b"x", f"{prefix}.DS_Store": b"x", f"{prefix}red/Thumbs.db": b"x",
              f"{prefix}README.txt": b"read me", "notes.txt": b"notes"}  # fmt: skip
    name = add_images(zipped(two_classes(3, prefix) | litter))
    assert data.load(name, "train").labels == ("blue", "red")
    assert data.about(name).summary == "6 pictures of 2 classes that a person brought."


def test_train_and_test_folders_are_kept_apart():
    files = {f"set/train/{name}": body for name, body in two_classes(5).items()}
    files |= {f"set/Test/red/{i}.png": encoded((200 + i, 0, 0)) for i in range(4)}
    name = add_images(zipped(files), side=32)
    assert data.load(name, "test").y.tolist() == [1] * 4
    assert (data.load(name, "test").x[..., 0] >= 200).all()
    assert len(data.load(name, "train")) == 8
    assert data.load(name, "validation").y.tolist() == [0, 1]


def test_given_validation_pictures_are_the_validation_split():
    files = {f"{split}/{name}": body for split in ("train", "val", "test") for name, body in two_classes(2).items()}
    name = add_images(zipped(files))
    assert [len(data.load(name, split)) for split in data.SPLITS] == [4, 4, 4]


def picture_of(body, side=32):
    """What becomes of one file, among others that are as they should be."""
    name = add_images(zipped(two_classes(3) | {f"other/{i}": body for i in range(3)}), side=side)
    x, y = all_of(name)
    return x[y == 1][0]  # blue, other, red


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (encoded(100, mode="L"), (100, 100, 100)),
        (encoded((100, 128), mode="LA"), (177, 177, 177)),
        (encoded((200, 0, 0, 0), mode="RGBA"), (255, 255, 255)),
        (encoded((200, 0, 0, 255), mode="RGBA"), (200, 0, 0)),
        (encoded((0, 0, 0, 0), mode="CMYK", form="TIFF"), (255, 255, 255)),
        (encoded((0, 0, 0, 255), mode="CMYK", form="TIFF"), (0, 0, 0)),
        (encoded(257 * 77, mode="I;16"), (77, 77, 77)),
        (encoded(1, mode="1"), (255, 255, 255)),
        (encoded(RED, form="BMP"), RED),
        (encoded(RED, form="WEBP", lossless=True), RED),
        (encoded(RED, form="GIF"), RED),
    ],
    ids=["grey", "grey with alpha", "see-through", "opaque", "CMYK white", "CMYK black", "16 bit", "1 bit", "BMP",
         "WebP", "GIF"],
)  # fmt: skip
def test_every_kind_of_pixel_becomes_rgb(body, expected):
    assert np.abs(picture_of(body).astype(int) - expected).max() <= 1


def test_a_see_through_palette_is_shown_on_white():
    image = Image.new("P", (10, 10), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    content = BytesIO()
    image.save(content, "PNG", transparency=0)
    assert (picture_of(content.getvalue()) == 255).all()


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (10, 10), colour) for colour in (RED, BLUE)]
    content = BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    assert (picture_of(content.getvalue()) == RED).all()


def test_a_camera_held_sideways_is_put_right():
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:20] = 255  # as stored, the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by a quarter to view
    content = BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", exif=exif, quality=95)
    found = picture_of(content.getvalue())
    assert (found[:, 20:] > 200).all()
    assert (found[:, :12] < 50).all()


def test_the_middle_square_is_kept():
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255
    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    assert (picture_of(content.getvalue(), side=64)[:, 8:-8] > 250).all()


@pytest.mark.parametrize(
    "name", ["../red/1.png", "red/../../1.png", "/etc/1.png", "C:/red/1.png", "red\\..\\..\\1.png"]
)
def test_a_name_that_leads_outside_refuses_the_zip(name):
    refused(zipped(two_classes() | {name: encoded()}), "leads outside")


def test_a_link_refuses_the_zip_and_the_folder(tmp_path):
    link = zipfile.ZipInfo("red/link.png")
    link.external_attr = 0o120777 << 16
    content = zipped(two_classes())
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    content.seek(0)
    refused(content, "'red/link.png' is a link")
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "1.png").symlink_to("/etc/passwd")
    refused(tmp_path, "'red/1.png' is a link")


def test_a_locked_zip_is_refused():
    content = bytearray(zipped(two_classes(3)).getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(signature)
        content[at + offset] |= 1
    refused(BytesIO(bytes(content)), "locked with a password")


def test_too_many_files_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("EXPLORER_EXAMPLES", "15")
    settings.cache_clear()
    refused(zipped(two_classes()), "more than 15 files")
    for name, body in two_classes().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(body)
    refused(tmp_path, "more than 15 files")


def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_refused():
    refused(zipped(two_classes() | {"red/bomb.png": b"\0" * 3_000_000}), "'red/bomb.png' unpacks to 2 MB, as bombs do")


def test_members_that_claim_the_same_bytes_are_refused():
    content = zipped({"red/0.png": np.random.default_rng(0).bytes(20_000)}, zipfile.ZIP_STORED)
    archive = zipfile.ZipFile(content, "a")
    only = archive.infolist()[0]
    for index in range(400):
        copy = zipfile.ZipInfo(f"red/{index}.png")
        copy.header_offset, copy.CRC = only.header_offset, only.CRC
        copy.file_size = copy.compress_size = only.file_size
        archive.filelist.append(copy)
    archive._didModify = True
    archive.close()
    content.seek(0)
    refused(content, "unpacks to 7 MB, as bombs do")


def test_a_file_larger_than_the_server_takes_is_refused(monkeypatch):
    monkeypatch.setenv("EXPLORER_UPLOAD", "1000")
    settings.cache_clear()
    refused(zipped(two_classes()), "larger than")


def test_more_pictures_than_the_server_keeps_are_refused(monkeypatch):
    monkeypatch.setenv("EXPLORER_CACHE", "100000")
    settings.cache_clear()
    refused(zipped(two_classes()), "more than this server keeps", side=64)


def test_a_huge_picture_is_refused_by_its_header_alone(monkeypatch):
    monkeypatch.setattr(own_pictures, "_coloured", lambda image: pytest.fail("it was decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for side in (9_000, 12_000, 30_000):  # above our limit, where Pillow warns, where Pillow raises
            refused(zipped({"a/1.png": header_only(side, side), "b/1.png": encoded()}), r"'?a/1\.png.*pixels")


@pytest.mark.parametrize(
    "body",
    [b"", b"plain text", noise("PNG")[:500], noise("JPEG")[:500], b"<svg></svg>", b"%!PS-Adobe"],
    ids=["empty", "text", "PNG cut short", "JPEG cut short", "SVG", "PostScript"],
)
def test_a_file_that_is_no_whole_picture_is_named(body):
    refused(zipped(two_classes(3) | {"red/bad.png": body}), r"red/bad\.png \(it is (no picture|damaged)")


def test_a_wrong_type_is_known_by_its_content_not_its_ending():
    found = picture_of(encoded(RED, form="BMP"))  # its name has no ending at all
    assert (found == RED).all()


def test_a_few_bad_files_among_many_are_left_out_and_named():
    name = add_images(zipped(two_classes(20) | {"red/bad.png": b"x", "blue/worse.png": b"y"}))
    assert len(all_of(name)[1]) == 40
    assert "Left out: blue/worse.png (it is no picture" in data.about(name).summary
    assert "red/bad.png" in data.about(name).summary


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no class folders"),
        ({"1.png": encoded(), "2.png": encoded()}, "no class folders"),
        ({f"red/{i}.png": encoded() for i in range(5)}, "one class only, 'red'"),
        (two_classes(5) | {"green/1.png": encoded()}, "'green' has 1 to learn from"),
        (two_classes(2), "'blue' has 2 to learn from"),
        ({f"{i}/1.png": encoded() for i in range(101)}, "101 classes"),
        ({f"train/{n}": b for n, b in two_classes(3).items()} | {"test/green/1.png": encoded()}, "'green' has 0"),
    ],
    ids=["empty", "no folders", "one class", "one example", "two examples", "too many classes", "class in test only"],
)
def test_too_little_or_too_much_is_refused(files, words):
    refused(zipped(files), words)


@pytest.mark.parametrize("content", [b"", b"no zip at all", zipped(two_classes()).getvalue()[:-200]])
def test_what_is_no_whole_zip_is_refused(content):
    refused(BytesIO(content), "no whole zip")


def test_a_path_that_is_not_there_is_refused(tmp_path):
    refused(tmp_path / "nothing.zip", "no such file")
    refused(Path("\0"), "no whole zip|no such file")


def test_a_shared_server_opens_no_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("EXPLORER_SHARED", "1")
    settings.cache_clear()
    refused(tmp_path, "opens no paths")
    assert add_images(zipped(two_classes(3))).startswith("own:")


def test_a_size_that_is_not_offered_is_refused():
    refused(zipped(two_classes()), "4096 is not one of 32, 64", side=4096)


def test_a_damaged_picture_of_any_kind_is_a_refusal_and_never_a_crash():
    rng, refusals = np.random.default_rng(0), 0
    for form in own_pictures.FORMATS:
        whole = noise(form)
        for _ in range(25):
            body = bytearray(whole)
            for at in rng.integers(0, min(len(body), 400), 4):
                body[at] = rng.integers(256)
            file = own_pictures._File(("red", "1"), len(body), lambda body=body: bytes(body))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    assert own_pictures._square(file, 32, own_pictures._Spent("mine", 32)).shape == (32, 32, 3)
                except own_pictures._Unusable:
                    refusals += 1
    assert refusals > 30


NO_NAMES = (
    "own:",
    "own:..",
    "own:../../etc",
    *(f"own:{'0' * n}" for n in (31, 33)),
    f"own:{'A' * 32}",
    f"own:{'0' * 32}\n",
)


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_malformed_name_opens_nothing(name):
    for open_it in (data.load, data.about):
        with pytest.raises(ExplorerError, match="nobody brought one"):
            open_it(name)


def test_an_unknown_or_damaged_one_is_a_clear_refusal():
    with pytest.raises(ExplorerError, match="nobody brought one"):
        data.load("own:" + "0" * 32)
    name = add_images(zipped(two_classes(3)))
    folder = settings().data / "own" / name.removeprefix("own:")
    (folder / "data.npz").write_bytes(b"damaged")
    with pytest.raises(ExplorerError, match="damaged"):
        data.load(name)
    (folder / "about.json").write_text("{")
    with pytest.raises(ExplorerError, match="damaged"):
        data.about(name)


def test_a_full_disk_is_said_and_leaves_nothing(monkeypatch):
    def full(*args, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ExplorerError, match="No space left on device"):
        add_images(zipped(two_classes(3)))
    assert list((settings().data / "own").iterdir()) == []


def test_it_has_no_settings_and_its_names_are_not_guessable():
    names = {add_images(zipped(two_classes(3))) for _ in range(3)}
    assert len(names) == 3
    assert all(data.own.NAME.fullmatch(name) for name in names)
    with pytest.raises(ExplorerError, match="no setting"):
        data.load(names.pop(), noise=1)
