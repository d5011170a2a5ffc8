"""Video files in and out: another decoder finds what was written, and nothing is half-written.

PyAV (FFmpeg's libraries) without anything of ours, and Pillow, read everything back; Debian's own ffmpeg and ffprobe do
too where they are installed.
"""

import base64
import json
import re
import resource
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image as Pil

from mediagen.modalities import audio, audio_files, image, video, video_files, video_frames
from mediagen.modalities.audio import Audio
from mediagen.modalities.video import Video

REQUEST = '{"mediagen": {"prompt": "für ☃ \\"quoted\\""}}'
LOSSLESS = (("a.mkv", {}), ("a.apng", {}), ("a.webp", {"quality": 100}), ("folder", {}))
CODED = ("mp4", "webm", "mkv")
ALL = ("a.mp4", "a.webm", "a.mkv", "a.gif", "a.webp", "a.apng", "folder")
# dB of PSNR that each keeps of `scene` at its default: the least of what was measured, less 3
LEAST_PSNR = {"a.mp4": 28, "a.webm": 29, "a.gif": 37, "a.webp": 28}
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffmpeg is not installed")


def scene(count: int = 17, width: int = 64, height: int = 48) -> np.ndarray:
    """A red disc crosses a ground that shades from blue to green: uint8 [F, H, W, 3], drawn four times as large."""
    y, x = np.mgrid[: 4 * height, : 4 * width] / 4
    frames = []
    for number in range(count):
        ground = np.stack([50 + x, 120 + 2 * y, 200 - 2 * x], -1)
        disc = (x - 12 - 2 * number) ** 2 + (y - 22) ** 2 < 81
        frame = np.where(disc[..., None], np.array([230.0, 60.0, 40.0]), ground)
        frames.append(frame.reshape(height, 4, width, 4, 3).mean((1, 3)))
    return np.clip(np.stack(frames), 0, 255).round().astype(np.uint8)


def tone(seconds: float = 2.125, rate: int = 48_000, click: float = 1.0) -> Audio:
    """Two sines, and a click in both at a second."""
    t = np.arange(round(seconds * rate)) / rate
    x = 0.2 * np.sin(2 * np.pi * np.array([[440.0], [660.0]]) * t)
    x[:, round(click * rate)] = 0.9
    return Audio(x.astype(np.float32), rate)


def psnr(wanted: np.ndarray, found: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(np.square(wanted.astype(float) - found).mean(), 1e-9))


def decoded(path: Path) -> tuple[np.ndarray, list[float], dict[str, str]]:
    """Frames, their times and the tags: PyAV without anything of ours."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(frame.to_ndarray(format="rgb24"), frame.time) for frame in container.decode(stream)]
        tags = {key.lower(): value for key, value in container.metadata.items()}
    return np.stack([f for f, _ in frames]), [t for _, t in frames], tags


def probed(path: Path) -> dict:
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def rendered(path: Path) -> np.ndarray:
    """All bytes of the frames that the program ffmpeg shows; it has nothing to complain of."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    shown = subprocess.run(command, capture_output=True, check=True)
    assert shown.stderr == b""
    return np.frombuffer(shown.stdout, np.uint8)


def foreign(path: Path, times: list[int], frames: np.ndarray, codec: str = "mpeg4", unit: int = 1000, **stream) -> Path:
    """A film of another maker: frames at these times, in units of a second."""
    with av.open(str(path), "w") as container:
        film = container.add_stream(codec, rate=25)
        film.width, film.height = frames.shape[2], frames.shape[1]
        film.pix_fmt = stream.pop("pix_fmt", "yuv420p")
        film.codec_context.time_base = Fraction(1, unit)
        for name, value in stream.items():
            setattr(film.codec_context, name, value)
        for time, pixels in zip(times, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, unit)
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
    return path


def greys(count: int, side: int = 16) -> np.ndarray:
    """Flat frames, each of its own level."""
    levels = np.linspace(20, 230, count).round().astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, side, side, 3)).copy()


def levels(clip: Video) -> list[int]:
    return [int(frame.mean().round()) for frame in clip.frames]


# ---- files


@pytest.mark.parametrize(("name", "options"), LOSSLESS)
@pytest.mark.parametrize(("width", "height", "rate"), [(64, 48, 8), (63, 47, 24), (33, 19, 12.5)])
def test_lossless_files_keep_every_pixel(
    tmp_path: Path, name: str, options: dict, width: int, height: int, rate: float
) -> None:
    clip = Video(scene(9, width, height), rate, metadata=REQUEST)
    read = video.load(clip.save(tmp_path / name, **options))
    assert np.array_equal(read.frames, clip.frames) and read.sha256 == clip.sha256
    assert (read.rate, read.size, read.metadata, read.sound) == (rate, (width, height), REQUEST, None)


@pytest.mark.parametrize("name", list(LEAST_PSNR))
@pytest.mark.parametrize(("width", "height", "rate"), [(64, 48, 8), (63, 47, 24), (33, 18, Fraction(24000, 1001))])
def test_lossy_files_come_close(tmp_path: Path, name: str, width: int, height: int, rate: float) -> None:
    clip = Video(scene(17, width, height), float(rate), metadata=REQUEST)
    read = video.load(clip.save(tmp_path / name))
    assert read.frames.shape == clip.frames.shape and read.metadata == REQUEST
    assert read.rate == pytest.approx(clip.rate, rel=0.002 if name == "a.gif" else 1e-9)
    assert psnr(clip.frames, read.frames) > LEAST_PSNR[name]
    assert psnr(clip.frames[:, :, -1], read.frames[:, :, -1]) > LEAST_PSNR[name] - 8  # the last column too


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.mkv"])
def test_another_decoder_finds_the_frames_at_their_times(tmp_path: Path, name: str) -> None:
    x = scene()
    frames, times, tags = decoded(Video(x, 8, metadata=REQUEST).save(tmp_path / name))
    assert times == pytest.approx([i / 8 for i in range(17)], abs=1e-3) and tags["comment"] == REQUEST
    assert psnr(x, frames) > 26


@needs_ffmpeg
@pytest.mark.parametrize("ending", CODED)
def test_ffmpeg_finds_the_frames_the_sound_and_the_request(tmp_path: Path, ending: str) -> None:
    clip = Video(scene(), 8, tone(), REQUEST)
    file = clip.save(tmp_path / f"a.{ending}")
    told = probed(file)
    film, sound = told["streams"]
    assert [film["codec_name"], film["width"], film["height"], film["nb_read_frames"]] == [
        {"mp4": "h264", "webm": "vp9", "mkv": "ffv1"}[ending], 64, 48, "17"
    ]  # fmt: skip
    assert film["avg_frame_rate"] == "8/1" and sound["channels"] == 2 and sound["sample_rate"] == "48000"
    assert sound["codec_name"] == {"mp4": "aac", "webm": "opus", "mkv": "pcm_f32le"}[ending]
    assert float(told["format"]["duration"]) == pytest.approx(2.125, abs=0.01)
    assert {key.lower(): value for key, value in told["format"]["tags"].items()}["comment"] == REQUEST
    if ending != "mkv":
        assert film["pix_fmt"] == "yuv420p" and film["color_space"] == "bt709" and film["color_range"] == "tv"
    assert psnr(clip.frames, rendered(file).reshape(clip.frames.shape)) > 26


def test_pillow_finds_the_pictures_and_their_times(tmp_path: Path) -> None:
    clip = Video(scene(), 8)
    for name, wanted in (("a.gif", {120, 130}), ("a.webp", {125}), ("a.apng", {125})):
        with Pil.open(clip.save(tmp_path / name)) as pil:
            assert pil.n_frames == 17 and pil.info.get("loop") == 0
            times = []
            for number in range(17):
                pil.seek(number)
                pil.load()
                times.append(round(pil.info["duration"]))
        assert set(times) == wanted and sum(times) == pytest.approx(2125, abs=5)


def test_mp4_starts_at_once_and_webm_too(tmp_path: Path) -> None:
    clip = Video(scene(), 8, tone())
    mp4, webm = (clip.save(tmp_path / f"a.{ending}").read_bytes() for ending in ("mp4", "webm"))
    assert mp4.index(b"moov") < mp4.index(b"mdat")
    assert webm.index(b"\x1c\x53\xbb\x6b") < webm.index(b"\x1f\x43\xb6\x75")  # Cues before the first Cluster


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 90), (255, 255, 255), (9, 9, 9)])
def test_flat_colours_stay(tmp_path: Path, name: str, colour: tuple[int, int, int]) -> None:
    clip = Video(np.full((4, 31, 33, 3), colour, np.uint8), 8)
    file = clip.save(tmp_path / name)
    for frames in (video.load(file).frames, decoded(file)[0]):
        assert np.abs(frames.astype(int) - colour).max() <= 3


def test_crf_and_quality_buy_pixels_with_bytes(tmp_path: Path) -> None:
    clip = Video(scene(), 8)
    for name, options in (("mp4", ("crf", 0, 40)), ("webm", ("crf", 10, 55)), ("webp", ("quality", 95, 20))):
        word, good, bad = options
        files = [clip.save(tmp_path / f"{value}.{name}", **{word: value}) for value in (good, bad)]
        sizes = [file.stat().st_size for file in files]
        close = [psnr(clip.frames, video.load(file).frames) for file in files]
        assert sizes[0] > 1.3 * sizes[1] and close[0] > close[1] + 2


def test_a_gif_of_few_colours_is_exact_and_still_parts_do_not_flicker(tmp_path: Path) -> None:
    few = (scene() // 64 * 64).astype(np.uint8)
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 256
    assert np.array_equal(video.load(Video(few, 10).save(tmp_path / "a.gif")).frames, few)
    x = scene()
    found = video.load(Video(x, 10).save(tmp_path / "b.gif")).frames
    still = (x == x[0]).all((0, 3))
    assert still.mean() > 0.2 and (found[:, still] == found[0, still]).all()


@pytest.mark.parametrize("name", ALL)
def test_frames_that_repeat_are_kept(tmp_path: Path, name: str) -> None:
    x = scene(3).repeat(4, axis=0)
    read = video.load(Video(x, 12).save(tmp_path / name), rate=12)
    assert read.frames.shape == x.shape and psnr(x, read.frames) > 25 if name in LEAST_PSNR else True
    if name not in ("a.webp", "a.apng"):
        still = Video(x[:1].repeat(9, axis=0), 9).save(tmp_path / f"still-{name}")
        assert video.load(still, rate=9).count == 9
    else:
        with pytest.raises(ValueError, match="all the same"):
            Video(x[:1].repeat(9, axis=0), 9).save(tmp_path / f"still-{name}")


@pytest.mark.parametrize("name", ALL)
def test_long_requests_survive(tmp_path: Path, name: str) -> None:
    long = REQUEST.replace("quoted", "wörter " * 5_000)
    clip = Video(scene(2, 16, 16), 8, metadata=long)
    assert video.load(clip.save(tmp_path / name)).metadata == long
    for number, remark in enumerate((None, "a remark of somebody")):
        plain = Video(scene(2, 16, 16), 8, metadata=remark).save(tmp_path / f"{number}{name}")
        assert video.load(plain).metadata is None


def test_odd_sides_are_padded_in_mp4_only_and_come_back(tmp_path: Path) -> None:
    x = scene(3, 63, 47)
    for ending, wanted in (("mp4", (48, 64)), ("webm", (47, 63))):
        file = Video(x, 8).save(tmp_path / f"a.{ending}")
        frames, _, tags = decoded(file)
        assert frames.shape[1:3] == wanted and video.load(file).size == (63, 47)
        assert ("63x47 pixels" in tags.get("description", "")) == (ending == "mp4")
        assert psnr(x, frames[:, :47, :63]) > 26
    assert video.load(Video(x[:, :1, :1], 8).save(tmp_path / "dot.mp4")).size == (1, 1)


# ---- sound


@pytest.mark.parametrize(("name", "floor"), [("a.mp4", 20), ("a.webm", 20), ("a.mkv", 200), ("folder", 200)])
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_sound_survives_at_its_time_and_length(tmp_path: Path, name: str, floor: float, rate: int) -> None:
    sound = tone(rate=rate)
    clip = Video(scene(), 8, sound)
    read = video.load(clip.save(tmp_path / name))
    again = video.load(read.save(tmp_path / f"again-{name}"))
    for heard in (read.sound, again.sound):
        heard = heard.resampled(rate)
        assert heard.samples.shape == sound.samples.shape
        assert abs(int(heard.samples[0].argmax()) - rate) <= 1
        error = np.square(heard.samples - sound.samples).sum() / np.square(sound.samples).sum()
        assert -10 * np.log10(max(error, 1e-30)) > floor
    assert video.load(tmp_path / name, sound=False).sound is None


@pytest.mark.parametrize("ending", CODED)
def test_shorter_and_longer_sound_and_mono_stay_as_they_are(tmp_path: Path, ending: str) -> None:
    for seconds in (0.5, 5.0):
        clip = Video(scene(), 8, tone(seconds, click=0.25).mixed(1))
        read = video.load(clip.save(tmp_path / f"a.{ending}"))
        assert read.count == 17 and read.sound.channels == 1 and read.sound.seconds == pytest.approx(seconds, abs=1e-4)


def test_with_sound_cuts_at_the_end_and_takes_files(tmp_path: Path) -> None:
    file = tone(5.0).save(tmp_path / "a.flac")
    clip = Video(scene(), 8).with_sound(file)
    assert clip.sound.seconds == 2.125 and clip.with_sound(None).sound is None
    assert clip.with_sound(tone(0.5, click=0.2)).sound.seconds == 0.5
    assert audio.load(clip.save(tmp_path / "a.mp4")).samples.shape == clip.sound.samples.shape


@pytest.mark.parametrize("shift", [Fraction(1, 2), Fraction(-1, 4)])
def test_sound_that_begins_later_or_earlier_than_the_picture(tmp_path: Path, shift: Fraction) -> None:
    sound, x = tone(), greys(17)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        film, heard = (
            container.add_stream("ffv1", rate=8),
            container.add_stream("pcm_f32le", rate=48_000, layout="stereo"),
        )
        film.width = film.height = 16
        film.pix_fmt = "bgr0"
        frame = av.AudioFrame.from_ndarray(sound.samples.T.reshape(1, -1).copy(), format="flt", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), round((1 + shift) * 48_000)
        container.mux(heard.encode(frame))
        for number, pixels in enumerate(x):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = 8 + number, Fraction(1, 8)
            container.mux(film.encode(picture))
        for stream in (film, heard):
            container.mux(stream.encode(None))
    clip = video.load(tmp_path / "a.mkv")
    assert clip.count == 17 and abs(int(clip.sound.samples[0].argmax()) - (1 + float(shift)) * 48_000) <= 48


def test_a_film_without_picture_or_without_sound(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no moving picture"):
        video.load(tone().save(tmp_path / "a.m4a"))
    assert video.load(Video(scene(), 8).save(tmp_path / "a.mp4")).sound is None


# ---- rates and times


@pytest.mark.parametrize(("old", "new", "wanted"), [
    (8, 8, [0, 1, 2, 3, 4]), (8, 16, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]), (8, 4, [0, 2, 4]), (24, 8, [0, 3]),
    (8, 12, [0, 1, 1, 2, 3, 3, 4, 4]), (30, 0.5, [0]),
])  # fmt: skip
def test_resampling_takes_the_nearest_frame(old: float, new: float, wanted: list[int]) -> None:
    clip = Video(greys(5), old)
    assert levels(clip.resampled(new)) == [levels(clip)[i] for i in wanted]


def test_up_and_down_gives_the_clip_again_and_loading_does_the_same(tmp_path: Path) -> None:
    clip = Video(greys(17), 8)
    for factor in (2, 3, 4, 5):
        up = clip.resampled(8 * factor)
        assert up.count == 17 * factor and np.array_equal(up.resampled(8).frames, clip.frames)
    for name, options in LOSSLESS:
        file = clip.save(tmp_path / name, **options)
        for rate in (5, 8, 10, 24):
            assert np.array_equal(video.load(file, rate=rate).frames, clip.resampled(rate).frames)


@pytest.mark.parametrize("rate", [1, 7, 8, 12.5, 15, 24, 25, 29.97, 30, 50, 59.94, 60, 120, 240])
def test_rounded_times_lose_and_double_no_frame(rate: float) -> None:
    for unit in (1000, 10_000, 90_000):
        begins = [round(i / rate * unit) / unit for i in range(201)]
        timed = [(begins[i], begins[i + 1] - begins[i], np.full(1, i)) for i in range(200)]
        assert [int(x[0]) for x in video_frames.resampled(timed, rate)] == list(range(200))


def test_uneven_times_are_kept_in_time(tmp_path: Path) -> None:
    """Frames at 0, 0.1, 0.2, 1.0 and 1.1 s; then a GIF whose second frame is shown for three times as long."""
    file = foreign(tmp_path / "a.mkv", [0, 100, 200, 1000, 1100], greys(5), codec="ffv1", pix_fmt="bgr0")
    clip, wanted = video.load(file, rate=10), levels(Video(greys(5), 1))
    assert levels(clip)[:11] == [wanted[i] for i in (0, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3)]
    with Pil.open(Video(greys(3), 10).save(tmp_path / "a.gif")) as pil:
        frames = [pil.seek(i) or pil.copy() for i in range(3)]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:], duration=[100, 300, 200])
    clip = video.load(tmp_path / "b.gif")
    assert clip.rate == 10 and levels(clip) == [levels(Video(greys(3), 1))[i] for i in (0, 1, 1, 2, 2, 2)]


def test_a_size_is_filled_and_cut_at_the_middle(tmp_path: Path) -> None:
    x = np.zeros((3, 40, 80, 3), np.uint8)
    x[:, :, 20:60] = 200
    file = Video(x, 8).save(tmp_path / "a.mkv")
    assert (video.load(file, size=(20, 20)).frames[:, 2:-2, 2:-2] >= 199).all()
    assert video.load(file, size=(30, 50), rate=4).frames.shape == (2, 50, 30, 3)
    assert np.array_equal(video.load(video.load(file), size=(20, 20)).frames, video.load(file, size=(20, 20)).frames)


# ---- files of other makers


def matrix_written(file: Path, matrix: tuple[int, ...]) -> Path:
    """The display matrix of the (only) track of an MP4, replaced."""
    data = bytearray(file.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", *(m * one for m in matrix[:8]), matrix[8] << 30)
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(("matrix", "turned"), [
    ((0, 1, 0, -1, 0, 0, 0, 0, 1), lambda x: np.rot90(x, -1, (1, 2))),  # a telephone held upright
    ((0, -1, 0, 1, 0, 0, 0, 0, 1), lambda x: np.rot90(x, 1, (1, 2))),
    ((-1, 0, 0, 0, -1, 0, 0, 0, 1), lambda x: x[:, ::-1, ::-1]),
    ((-1, 0, 0, 0, 1, 0, 0, 0, 1), lambda x: x[:, :, ::-1]),
    ((0, 1, 0, 1, 0, 0, 0, 0, 1), lambda x: x.transpose(0, 2, 1, 3)),
])  # fmt: skip
def test_films_are_turned_as_they_say(tmp_path: Path, matrix: tuple[int, ...], turned) -> None:
    x = scene(3)
    file = Video(x, 8).save(tmp_path / "a.mp4")
    straight = video.load(file).frames
    read = video.load(matrix_written(file, matrix))
    assert np.array_equal(read.frames, turned(straight)) and read.size == turned(x).shape[2:0:-1]
    if shutil.which("ffmpeg"):
        assert psnr(read.frames, rendered(file).reshape(read.frames.shape)) > 28


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    file = foreign(tmp_path / "a.mkv", [0, 40, 80], scene(3), sample_aspect_ratio=Fraction(4, 3))
    assert video.load(file).size == (85, 48)


def test_other_codecs_and_containers(tmp_path: Path) -> None:
    x = scene(5)
    times = [i * 40 for i in range(5)]
    cases = (
        ("a.avi", "mpeg4", "yuv420p"), ("a.mov", "prores_ks", "yuv422p10le"), ("a.ts", "mpeg2video", "yuv420p"),
        ("a.nut", "mjpeg", "yuvj420p"), ("b.mp4", "libx265", "yuv420p"), ("b.mkv", "libsvtav1", "yuv420p10le"),
        ("c.mkv", "libx264", "yuv444p"),
    )  # fmt: skip
    for name, codec, pixels in cases:
        unit = 25 if name.endswith(("avi", "ts")) else 1000
        file = foreign(tmp_path / name, [t * unit // 1000 for t in times], x, codec=codec, unit=unit, pix_fmt=pixels)
        clip = video.load(file)
        assert clip.frames.shape == x.shape and clip.rate == pytest.approx(25, rel=0.01), name
        assert psnr(x, clip.frames) > 22, name


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    clear = Pil.new("RGBA", (16, 16), (255, 0, 0, 0))
    solid = Pil.new("RGBA", (16, 16), (255, 0, 0, 255))
    for name in ("a.webp", "a.png"):
        clear.save(tmp_path / name, save_all=True, append_images=[solid], duration=100, lossless=True)
        clip = video.load(tmp_path / name)
        assert clip.frames[:, 8, 8].tolist() == [[255, 255, 255], [255, 0, 0]]
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        film = container.add_stream("ffv1", rate=8)
        film.width, film.height, film.pix_fmt = 16, 16, "bgra"
        container.mux(film.encode(av.VideoFrame.from_ndarray(np.array(clear), format="rgba")))
        container.mux(film.encode(None))
    assert (video.load(tmp_path / "a.mkv").frames == 255).all()


def test_folders_of_pictures(tmp_path: Path) -> None:
    folder, x = tmp_path / "frames", greys(12)
    folder.mkdir()
    for number, frame in enumerate(x):
        image.Image(frame).save(folder / f"shot2_{number * 5}.png")
    (folder / "notes.txt").write_text("not a frame")
    clip = video.load(folder, rate=6)
    assert np.array_equal(clip.frames, x) and clip.rate == 6 and clip.seconds == 2
    with pytest.raises(ValueError, match="name the rate"):
        video.load(folder)
    image.Image(greys(1, 8)[0]).save(folder / "99.png")
    with pytest.raises(ValueError, match="8x8"):
        video.load(folder, rate=6)
    image.Image(x[0]).save(folder / "other_5.png")
    with pytest.raises(ValueError, match="same number"):
        video.load(folder, rate=6)


def test_long_clips_take_little_memory(tmp_path: Path) -> None:
    """A thousand frames go through in blocks; whole they would be 110 MB. The same sound and picture as a whole."""

    def blocks() -> Iterator[np.ndarray]:
        for number in range(100):
            yield np.full((10, 192, 192, 3), number, np.uint8)

    sound = tone(50.0).save(tmp_path / "a.wav")
    tracemalloc.start()
    file = video_files.write(tmp_path / "a.mkv", blocks(), 20, sound=audio_files.read(sound), metadata=REQUEST)
    stream = video_files.read(file)
    count = sum(int((block[:, 0, 0, 0] == block[:, -1, -1, 2]).sum()) for block in stream.blocks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == stream.count == 1000 and peak < 60e6 and stream.metadata == REQUEST
    assert stream.sound.rate == 48_000 and audio.load(file).samples.shape == (2, 2_400_000)


# ---- what is refused


@pytest.mark.parametrize("name", [n for n in ALL if n != "folder"])
def test_broken_and_foreign_files_are_refused(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 48, 64, 3), dtype=np.uint8)
    whole = Video(noise, 8, metadata=REQUEST).save(tmp_path / name).read_bytes()
    cases = {"empty": b"", "text": b"this is no film\n" * 99, "zeros": bytes(9_999), "head": whole[:40]}
    cases |= {"half": whole[: len(whole) // 2], "most": whole[: len(whole) * 9 // 10]}
    cases["list"] = b"#EXTM3U\n#EXTINF:9,\n" + bytes(tmp_path / name) + b"\n#EXT-X-ENDLIST\n"
    for case, content in cases.items():
        (tmp_path / f"{case}-{name}").write_bytes(content)
        with pytest.raises(ValueError, match="cannot read the video"):
            video.load(tmp_path / f"{case}-{name}")


@pytest.mark.parametrize("name", [n for n in ALL if n != "folder"])
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path, name: str) -> None:
    clip = Video(scene(5, 32, 24), 8, tone(0.6, click=0.1) if name[2:] in CODED else None)
    whole, random = clip.save(tmp_path / name).read_bytes(), np.random.default_rng(0)
    for _ in range(30):
        damaged = bytearray(whole)
        at, length = random.integers(len(whole)), random.integers(1, 40)
        damaged[at : at + length] = random.bytes(int(length))
        (tmp_path / name).write_bytes(damaged)
        with suppress(ValueError):
            video.load(tmp_path / name)


def test_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    file = Video(scene(3), 8).save(tmp_path / "a.mp4")
    file.write_bytes(file.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(ValueError, match="cannot read the video"):
        video.load(file)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    still = video.load((greys(1), 1)).image(0)
    (tmp_path / "none").mkdir()
    for name in ("a.png", "a.jpg", "a.webp"):
        still.save(tmp_path / name)
    still.pil().save(tmp_path / "a.gif")
    with av.open(str(tmp_path / "a.mkv"), "w") as container:  # a head without frames
        film = container.add_stream("ffv1", rate=8)
        film.width, film.height, film.pix_fmt = 16, 16, "bgr0"
        container.start_encoding()
    for name in ("a.png", "a.jpg", "a.webp", "a.gif", "a.mkv", "missing.mp4", "none"):
        with pytest.raises(ValueError, match=f"cannot read the video .*{name}"):
            video.load(tmp_path / name, rate=8)
    with pytest.raises(ValueError, match="does not move"):
        video.load(tmp_path / "a.png")


def test_values_that_are_no_clip_are_refused() -> None:
    ok = greys(3)
    for frames in (ok[0], ok.astype(np.float32), ok[:0], ok[..., :2], ok[:, :0], ok.tolist(), torch.tensor(ok)):
        with pytest.raises(ValueError, match="frames must"):
            Video(frames, 8)
    for rate in (0, -1, "8", True, float("nan"), float("inf"), 1e6, 1e-6, None):
        with pytest.raises(ValueError, match="rate must"):
            Video(ok, rate)
        if rate is not None:
            with pytest.raises(ValueError, match="rate must"):
                video.load((ok, 8), rate=rate)
    with pytest.raises(ValueError, match="sound must"):
        Video(ok, 8, "a.wav")
    for source in (7, None, ok, (ok, 8, 1)):
        with pytest.raises(ValueError, match="must be"):
            video.load(source)
    for size in ((0, 4), (4,), 4, (4.0, 4), (10**9, 4)):
        with pytest.raises(ValueError, match="size must"):
            video.load((ok, 8), size=size)
    for i in (3, -4, 1.0, True):
        with pytest.raises(ValueError, match="no frame"):
            Video(ok, 8).image(i)


def test_what_a_format_cannot_hold_is_refused_before_it_is_written(tmp_path: Path) -> None:
    clip, heard = Video(greys(3), 8), Video(greys(3), 8, tone())
    six = Video(greys(3), 8, Audio(np.zeros((6, 99), np.float32), 48_000))
    wide, quick = Video(np.zeros((1, 2, 20_000, 3), np.uint8), 8), Video(greys(3), 120)
    cases = (
        (clip, "a.xyz", {}, "ending"), (clip, "a.mov", {}, "ending"), (clip, "a.png", {}, "ending"),
        (heard, "a.gif", {}, "no sound"), (heard, "a.webp", {}, "no sound"), (six, "a.mp4", {}, "channels"),
        (clip, "a.mp4", {"crf": 52}, "0 to 51"), (clip, "a.webm", {"crf": -1}, "0 to 63"),
        (clip, "a.gif", {"crf": 20}, "left out"),
        (clip, "a.webp", {"quality": 0}, "1 to 100"), (clip, "a.mp4", {"quality": 90}, "left out"),
        (heard, "a.mp4", {"kbps": 9999}, "kbps"), (clip, "a.mp4", {"kbps": 128}, "has none"),
        (wide, "a.webp", {}, "pixels a side"), (wide, "a.mp4", {}, "pixels a side"),
        (quick, "a.gif", {}, "50 frames"), (quick, "a.webp", {}, "90 frames"),
        (clip, "nowhere/a.mp4", {}, "cannot write"), (clip, "nowhere/a.gif", {}, "cannot write"),
        (clip, "nowhere/a", {}, "cannot write"),
    )  # fmt: skip
    for one, name, options, words in cases:
        with pytest.raises(ValueError, match=words):
            one.save(tmp_path / name, **options)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    for name in ("folder.mp4", "full"):
        with pytest.raises(ValueError, match="cannot write"):
            clip.save(tmp_path / name)
    bad = ([], [np.zeros((0, 4, 4, 3), np.uint8)], [greys(1), greys(1, 8)], [greys(1)[0]], [greys(1).astype(float)])
    for blocks in bad:
        with pytest.raises(ValueError, match="frames"):
            video_files.write(tmp_path / "b.mp4", blocks, 8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.mp4", "full"]
    assert (tmp_path / "full" / "mine.txt").read_text() == "precious"


def test_an_absurd_length_is_refused_before_it_is_read(tmp_path: Path, monkeypatch) -> None:
    file = Video(greys(40), 8).save(tmp_path / "a.mkv")
    monkeypatch.setattr(video, "MOST_VALUES", 16 * 16 * 3 * 20)
    with pytest.raises(ValueError, match="smaller size or rate"):
        video.load(file)
    assert video.load(file, rate=2).count == 10 and video.load(file, size=(8, 8)).count == 40


@pytest.mark.parametrize("name", ALL)
def test_a_failed_save_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield scene()
        raise KeyboardInterrupt

    if name != "folder":
        before = Video(scene(), 8).save(tmp_path / name).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        video_files.write(tmp_path / name, broken(), 8)
    if name == "folder":
        assert list(tmp_path.iterdir()) == []
    else:
        assert (tmp_path / name).read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ALL)
def test_a_disk_that_fills_leaves_nothing(tmp_path: Path, name: str) -> None:
    """At the first frame, in the middle, and with the last bytes of the file."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), dtype=np.uint8)
    clip = Video(noise, 8, tone(1.0, click=0.5) if name[2:] in CODED else None)
    made = clip.save(tmp_path / name)
    size = max(f.stat().st_size for f in ([made] if made.is_file() else made.iterdir()))
    shutil.rmtree(made) if made.is_dir() else made.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (100, size // 2, size - 60):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            with pytest.raises(ValueError, match="cannot write"):
                clip.save(tmp_path / name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []


# ---- the clip


def test_tensors_images_and_seconds() -> None:
    x = torch.linspace(-2, 2, 3 * 5 * 4 * 6).reshape(3, 5, 4, 6)
    clip = Video.from_tensor(x, 8)
    assert clip.frames.shape == (5, 4, 6, 3) and (clip.count, clip.seconds, clip.size) == (5, 0.625, (6, 4))
    assert (clip.tensor() - x.clamp(-1, 1)).abs().max() <= 1 / 255 + 1e-6
    assert torch.equal(Video.from_tensor(clip.tensor(), 8).tensor(), clip.tensor())
    assert np.array_equal(clip.image(-1).pixels, clip.frames[4]) and clip.numpy() is clip.frames
    with pytest.raises(ValueError, match="tensor"):
        Video.from_tensor(x[0], 8)
    other = clip.frames.copy()
    other[2, 1, 1, 1] ^= 1
    assert clip.sha256 == Video(clip.frames, 24).sha256 != Video(other, 8).sha256


def test_the_contact_sheet_shows_first_and_last(tmp_path: Path) -> None:
    clip = Video(greys(30), 8)
    sheet = clip.sheet(count=6, columns=3)
    colours = {int(c) for c in np.unique(sheet.pixels.reshape(-1, 3)[:, 0])}
    assert {levels(clip)[i] for i in (0, 6, 12, 17, 23, 29)} <= colours
    assert sheet.size == (3 * 132 + 4, 2 * (128 + 16 + 4) + 4) and sheet.save(tmp_path / "a.png").exists()
    assert Video(scene(2, 600, 300), 8).sheet().size == (2 * 260 + 4, 128 + 16 + 8)
    for options in ({"count": 0}, {"columns": 0}):
        with pytest.raises(ValueError, match="contact sheet"):
            clip.sheet(**options)


def test_notebooks_get_a_player_or_the_sheet(tmp_path: Path, monkeypatch) -> None:
    clip = Video(scene(), 8, tone())
    html = clip._repr_html_()
    (tmp_path / "a.mp4").write_bytes(base64.b64decode(re.search(r"data:video/mp4;base64,([^\"]+)", html)[1]))
    assert video.load(tmp_path / "a.mp4").count == 17 and "autoplay" not in html
    monkeypatch.setattr(video, "LONGEST_EMBEDDED", 100)
    assert "too long" in clip._repr_html_() and "data:image/png" in clip._repr_html_()


def test_which_paths_are_clips(tmp_path: Path) -> None:
    Video(scene(3), 8).save(tmp_path / "a.webp")
    image.Image(scene(1)[0]).save(tmp_path / "b.webp")
    assert all(map(video.is_clip, ("a.mp4", "A.MOV", tmp_path / "a.webp", tmp_path)))
    assert not any(map(video.is_clip, ("a.png", "a", tmp_path / "b.webp", tmp_path / "none.webp", "a.flac")))


def test_facts_in_a_line(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.webm", "a.mkv", "folder"):
        stream = video_files.read(Video(scene(), 8, tone()).save(tmp_path / name))
        assert video.describe(stream) == (
            "64x48 pixels, 17 frames, 2.12 s, 8 frames a second, sound stereo at 48000 Hz"
        )
    assert video.describe(video_files.read(Video(scene(), 8).save(tmp_path / "a.gif"))).endswith("no sound")


def test_the_module_loads_no_codec() -> None:
    code = "import sys, mediagen.modalities.video; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    )
    assert loaded & {"av", "soundfile", "torchaudio", "pyloudnorm", "scipy", "PIL", "imageio"} == set()


def test_show_prints_facts_and_request_and_draws_the_sheet(tmp_path: Path, monkeypatch, capsys) -> None:
    from mediagen.cli import main
    from mediagen.request import Request

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["mediagen", "show", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0)

    monkeypatch.chdir(tmp_path)
    asked = Request(prompts=(("a rocket", 1.0),), seed=7, model="mini-video", model_hash="0", version="0")
    clip = Video(scene(), 8, tone())
    Video(clip.frames, 8, clip.sound, asked.to_json(pixels=clip.sha256)).save("clip.mp4")
    assert run("clip.mp4") == 0
    facts, request = capsys.readouterr().out.split("\n", 1)
    assert facts == "64x48 pixels, 17 frames, 2.12 s, 8 frames a second, sound stereo at 48000 Hz"
    assert json.loads(request)["mediagen"]["seed"] == 7
    assert run("clip.mp4", "--plot", "sheet.png") == 0 and image.load("sheet.png").size[0] > 500
    clip.with_sound(None).save("plain.webp")
    assert capsys.readouterr() and run("plain.webp") == 0 and "no sound" in capsys.readouterr().out
    Path("bad.mp4").write_bytes(b"no film")
    assert run("bad.mp4") == 2 and capsys.readouterr().err.count("\n") == 1
    assert run("clip.mp4", "--plot", "sheet.xyz") == 2 and not Path("sheet.xyz").exists()
