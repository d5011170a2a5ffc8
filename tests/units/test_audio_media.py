"""Sound files in and out: another decoder finds what was written, at its exact length, and nothing is half-written."""

import base64
import io
import re
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from torchaudio.functional import resample as torchaudio_resample

from mediagen.modalities import audio, audio_files, audio_plot, audio_signal
from mediagen.modalities.audio import Audio

REQUEST = '{"mediagen": {"prompt": "für ☃ \\"quoted\\""}}'
LOSSLESS = [("wav", 16), ("wav", 24), ("flac", 16), ("flac", 24)]
LOSSY = ("mp3", "opus", "m4a", "aac")
ALL = ("wav", "flac", *LOSSY)
# dB of signal over error that each format keeps of `song` at its default bit rate: the least of four cases, less 3
LEAST_SNR = {"mp3": 40, "opus": 30, "m4a": 23, "aac": 23}


def song(rate: int = 44_100, count: int = 50_137, channels: int = 2) -> np.ndarray:
    """Decaying harmonic notes with an attack each quarter of a second, different in each channel."""
    t = np.arange(count) / rate
    parts = []
    for channel in range(channels):
        sound = np.zeros(count)
        for number, start in enumerate(np.arange(0, count / rate, 0.25)):
            age = np.maximum(t - start, 0)
            pitch = 220 * 2 ** ((3 * number + 4 * channel) % 12 / 12)
            body = sum(np.sin(2 * np.pi * pitch * k * age) / k**2 for k in range(1, 6))
            sound += (t >= start) * np.exp(-4 * age) * (1 - np.exp(-200 * age)) * body
        parts.append(0.3 * sound)
    return np.clip(np.stack(parts), -1, 1).astype(np.float32)


def grid(bits: int, channels: int = 2, count: int = 3_001) -> np.ndarray:
    """Noise on the grid of so many bits, both ends of it included."""
    levels = 2 ** (bits - 1)
    whole = np.random.default_rng(bits).integers(-levels, levels, (channels, count))
    whole[:, :2] = -levels, levels - 1
    return (whole / levels).astype(np.float32)


def ffmpeg(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    """Samples [C, N] in the file's own type, and tags: PyAV without anything of ours."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        blocks = [
            f.to_ndarray() if f.format.is_planar else f.to_ndarray().reshape(-1, f.layout.nb_channels).T
            for f in container.decode(stream)
        ]
        return np.concatenate(blocks, axis=1), {**container.metadata, **stream.metadata}


def snr(wanted: np.ndarray, found: np.ndarray) -> float:
    return 10 * np.log10(np.square(wanted, dtype=np.float64).sum() / np.square(wanted - found, dtype=np.float64).sum())


# ---- files


@pytest.mark.parametrize(("ending", "bits"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_lossless_files_are_bit_exact_for_another_decoder_and_for_us(
    tmp_path: Path, ending: str, bits: int, channels: int
) -> None:
    x = grid(bits, channels)
    file = Audio(x, 44_100, REQUEST).save(tmp_path / f"a.{ending}", bits=bits)
    found, _ = ffmpeg(file)
    assert np.array_equal(found / 2.0 ** (15 if bits == 16 else 31), x)
    read = audio.load(file)
    assert np.array_equal(read.samples, x) and read.rate == 44_100 and read.metadata == REQUEST
    assert soundfile.info(file).subtype == f"PCM_{bits}"


def test_float_wav_keeps_every_bit(tmp_path: Path) -> None:
    x = song()
    file = Audio(x, 48_000).save(tmp_path / "a.wav", bits=32)
    assert np.array_equal(ffmpeg(file)[0], x) and np.array_equal(audio.load(file).samples, x)


def test_sixteen_bits_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    x = song()
    for ending in ("wav", "flac"):
        clip = Audio(x, 44_100)
        read = audio.load(clip.save(tmp_path / f"a.{ending}"))
        assert np.abs(read.samples - x).max() <= 2.0**-16
        assert read.sha256 == clip.sha256 != Audio(-x, 44_100).sha256


@pytest.mark.parametrize("ending", LOSSY)
@pytest.mark.parametrize(("rate", "channels", "count"), [(44_100, 2, 50_137), (48_000, 1, 48_000), (22_050, 2, 777)])
def test_lossy_files_keep_the_length_and_come_close(
    tmp_path: Path, ending: str, rate: int, channels: int, count: int
) -> None:
    x = song(rate, count, channels)
    file = Audio(x, rate, REQUEST).save(tmp_path / f"a.{ending}")
    read = audio.load(file)
    assert read.rate == (48_000 if ending == "opus" else rate) and read.metadata == REQUEST
    back = read.resampled(rate)
    assert back.samples.shape == x.shape
    if count > 1000:
        assert snr(x, back.samples) > LEAST_SNR[ending]


@pytest.mark.parametrize("ending", ["mp3", "opus"])
def test_libsndfile_decodes_our_lossy_files_to_the_same(tmp_path: Path, ending: str) -> None:
    x = song(48_000)
    file = Audio(x, 48_000).save(tmp_path / f"a.{ending}")
    found, rate = soundfile.read(file, dtype="float32")
    assert rate == 48_000 and found.shape == x.T.shape
    assert snr(x, found.T) > LEAST_SNR[ending] and snr(audio.load(file).samples, found.T) > 40


@pytest.mark.parametrize(("ending", "delay"), [("m4a", 0), ("aac", 1024)])
def test_what_a_plain_decoder_finds_in_aac(tmp_path: Path, ending: str, delay: int) -> None:
    """FFmpeg drops the delay that MP4 states, and nothing of bare AAC; the last frame stays whole in both."""
    x = song()
    found, tags = ffmpeg(Audio(x, 44_100).save(tmp_path / f"a.{ending}"))
    assert found.shape[1] % 1024 == 0 and found.shape[1] >= delay + x.shape[1]
    assert snr(x, found[:, delay : delay + x.shape[1]]) > LEAST_SNR[ending]
    if ending == "aac":
        zero, before, after, length, *_ = (int(part, 16) for part in tags["iTunSMPB"].split())
        assert (zero, before, length) == (0, 1024, x.shape[1]) and before + length + after == found.shape[1]


@pytest.mark.parametrize("ending", LOSSY)
def test_a_rate_that_a_format_lacks_becomes_the_next_higher(tmp_path: Path, ending: str) -> None:
    x = song(37_800, 20_000)
    clip = audio.load(Audio(x, 37_800).save(tmp_path / f"a.{ending}"))
    assert clip.rate == (48_000 if ending == "opus" else 44_100)
    assert snr(x, clip.resampled(37_800).samples) > 20
    high = audio.load(Audio(song(192_000, 30_000), 192_000).save(tmp_path / f"b.{ending}"))
    assert high.rate == (96_000 if ending in ("m4a", "aac") else 48_000)


@pytest.mark.parametrize("ending", ALL)
def test_long_requests_survive_and_other_programs_see_them(tmp_path: Path, ending: str) -> None:
    long = REQUEST.replace("quoted", "wörter " * 5_000)
    file = Audio(song(count=3_000), 44_100, long).save(tmp_path / f"a.{ending}")
    assert audio.load(file).metadata == long
    assert long in ffmpeg(file)[1].values()
    Audio(song(count=3_000), 44_100, "a remark of somebody").save(file)
    assert audio.load(file).metadata is None
    assert audio.load(Audio(song(count=3_000), 44_100).save(file)).metadata is None


@pytest.mark.parametrize("ending", LOSSY)
def test_the_bit_rate_is_what_was_asked_for(tmp_path: Path, ending: str) -> None:
    noise = Audio(np.random.default_rng(0).uniform(-0.5, 0.5, (2, 48_000)).astype(np.float32), 48_000)
    small, large = (noise.save(tmp_path / f"{k}.{ending}", kbps=k).stat().st_size for k in (64, 192))
    assert 2.2 < large / small < 3.5 and small == pytest.approx(8_000, rel=0.35)


def test_files_of_other_programs(tmp_path: Path) -> None:
    x = song(count=20_000)
    for name, options in {
        "a.aiff": {}, "b.ogg": {"subtype": "VORBIS"}, "c.wav": {"subtype": "PCM_U8"}, "d.mp3": {}, "e.au": {},
        "f.caf": {}, "g.wav": {"subtype": "ULAW"}, "h.wav": {"format": "RF64"}, "i.w64": {}, "j.flac": {},
    }.items():  # fmt: skip
        soundfile.write(tmp_path / name, x.T, 44_100, **options)
        clip = audio.load(tmp_path / name)
        assert clip.rate == 44_100 and clip.metadata is None and clip.samples.shape == x.shape, name
        assert snr(x, clip.samples) > 18, name
    misnamed = (tmp_path / "j.flac").rename(tmp_path / "j.mp3")
    assert audio.load(misnamed).samples.shape == x.shape


def test_the_sound_of_a_film_is_read(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film.mkv"), "w") as film:
        picture, sound = film.add_stream("mpeg4", rate=25), film.add_stream("pcm_s16le", rate=16_000, layout="mono")
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        for _ in range(5):
            film.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        film.mux(picture.encode(None))
        frame = av.AudioFrame.from_ndarray(np.full((1, 3200), 8192, np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        film.mux(sound.encode(frame))
        film.mux(sound.encode(None))
    clip = audio.load(tmp_path / "film.mkv")
    assert (clip.rate, clip.samples.shape) == (16_000, (1, 3200)) and np.all(clip.samples == 0.25)


def test_a_file_is_read_at_the_rate_and_channels_asked_for(tmp_path: Path) -> None:
    x = song(48_000)
    file = Audio(x, 48_000, REQUEST).save(tmp_path / "a.wav", bits=32)
    clip = audio.load(file, rate=16_000, channels=1)
    assert np.array_equal(clip.samples, Audio(x, 48_000).mixed(1).resampled(16_000).samples)
    assert clip.metadata == REQUEST and clip.path == str(file)
    assert np.array_equal(audio.load((x, 48_000), rate=16_000, channels=1).samples, clip.samples)
    assert audio.load(clip).samples is clip.samples


def test_long_files_take_little_memory(tmp_path: Path) -> None:
    """Half an hour goes through in blocks; whole it would be 115 MB at 16 kHz."""

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(1800):
            yield np.full((1, 16_000), 0.25, np.float32)

    tracemalloc.start()
    file = audio_files.write(tmp_path / "a.flac", blocks(), 16_000, 1)
    count = sum(block.shape[1] for block in audio_files.read(file).blocks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1800 * 16_000 and peak < 5e6


# ---- what is refused


def test_broken_and_foreign_files_are_refused(tmp_path: Path) -> None:
    for ending in ALL:
        whole = Audio(song(), 44_100).save(tmp_path / f"whole.{ending}").read_bytes()
        for name, content in {
            "empty": b"", "text": b"this is no sound\n" * 99, "zeros": bytes(9_999), "head": whole[:40],
            "list": b"#EXTM3U\n#EXTINF:9,\n" + bytes(tmp_path / "whole.mp3") + b"\n#EXT-X-ENDLIST\n",
            "concat": b"ffconcat version 1.0\nfile " + bytes(tmp_path / "whole.mp3"),
            "half": whole[: len(whole) // 2] if ending not in ("mp3", "opus") else b"",  # these may end anywhere
        }.items():  # fmt: skip
            (tmp_path / f"{name}.{ending}").write_bytes(content)
            with pytest.raises(ValueError, match="cannot read the sound"):
                audio.load(tmp_path / f"{name}.{ending}")
    soundfile.write(tmp_path / "nan.wav", np.full(99, np.nan), 44_100, subtype="FLOAT")
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 2)), 44_100)
    soundfile.write(tmp_path / "slow.wav", np.zeros((9, 2)), 7)
    for name in ("nan.wav", "none.wav", "slow.wav", "missing.wav", "."):
        with pytest.raises(ValueError, match="cannot read the sound"):
            audio.load(tmp_path / name)


def test_a_picture_renamed_is_no_sound(tmp_path: Path) -> None:
    file = Audio(song(count=999), 44_100).plot().save(tmp_path / "a.png").rename(tmp_path / "a.mp3")
    with pytest.raises(ValueError, match="cannot read the sound"):
        audio.load(file)


def test_values_that_are_no_clip_are_refused() -> None:
    ok = song(count=99)
    bad = (ok[0], ok.astype(np.float64), ok[:, :0], ok[:0], ok + 9, ok * np.nan, ok.tolist(), torch.tensor(ok))
    for samples in bad:
        with pytest.raises(ValueError, match="samples must"):
            Audio(samples, 44_100)
    for rate in (0, -1, 44_100.0, True, 10**7, "44100"):
        with pytest.raises(ValueError, match="sample rate"):
            Audio(ok, rate)
    for sound in (7, None, ok, (ok, 44_100, 1)):
        with pytest.raises(ValueError, match="must be"):
            audio.load(sound)


def test_what_a_format_cannot_hold_is_refused_before_it_is_written(tmp_path: Path) -> None:
    clip, six = Audio(song(count=999), 44_100), Audio(np.zeros((6, 99), np.float32), 44_100)
    cases = (
        (clip, "a.xyz", {}, "ending"), (clip, "a", {}, "ending"), (clip, "a.ogg", {}, "ending"),
        (six, "a.mp3", {}, "channels"), (six, "a.opus", {}, "channels"),
        (clip, "a.flac", {"bits": 32}, "16 or 24"), (clip, "a.wav", {"bits": 8}, "16 or 24 or 32"),
        (clip, "a.mp3", {"bits": 16}, "kbps"), (clip, "a.wav", {"kbps": 128}, "kbps"),
        (clip, "a.mp3", {"kbps": 0}, "kbps"), (clip, "a.opus", {"kbps": 999}, "kbps"),
        (clip, "nowhere/a.wav", {}, "cannot write"), (clip, "nowhere/a.mp3", {}, "cannot write"),
    )  # fmt: skip
    for sound, name, options, words in cases:
        with pytest.raises(ValueError, match=words):
            sound.save(tmp_path / name, **options)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(ValueError, match="cannot write"):
        clip.save(tmp_path / "folder.wav")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.wav"]


@pytest.mark.parametrize("ending", ALL)
def test_a_failed_save_leaves_what_was_there(tmp_path: Path, ending: str) -> None:
    file = Audio(song(count=9_999), 44_100).save(tmp_path / f"a.{ending}")
    before = file.read_bytes()

    def broken() -> Iterator[np.ndarray]:
        yield song(count=9_999)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audio_files.write(file, broken(), 44_100, 2)
    with pytest.raises(ValueError, match="no samples"):
        audio_files.write(file, [], 44_100, 2)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("ending", ALL)
def test_a_disk_that_fills_leaves_nothing(tmp_path: Path, ending: str) -> None:
    """At the first block, in the middle, and with the last bytes of the file."""
    clip, file = Audio(grid(16, 2, 40_000), 48_000), tmp_path / f"a.{ending}"
    size = clip.save(file).stat().st_size
    file.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (100, size // 2, size - 60):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            with pytest.raises(ValueError, match="cannot write"):
                clip.save(file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []


# ---- signals


@pytest.mark.parametrize(("old", "new"), [(44_100, 48_000), (48_000, 44_100), (44_100, 16_000), (8_000, 11_025)])
def test_resampling_in_blocks_is_torchaudios_of_the_whole(monkeypatch, old: int, new: int) -> None:
    x = song(old, 40_003)
    kind = {"resampling_method": "sinc_interp_kaiser", "lowpass_filter_width": audio_signal.WIDTH}
    whole = torchaudio_resample(
        torch.tensor(x), old, new, rolloff=audio_signal.ROLLOFF, beta=audio_signal.BETA, **kind
    ).clamp(-1, 1)
    monkeypatch.setattr(audio_signal, "BLOCK", 9_000)
    for cuts in ([], [1, 5_000, 5_001, 20_000]):
        found = np.concatenate(list(audio_signal.resampled_blocks(np.split(x, cuts, axis=1), old, new)), axis=1)
        exact = x.shape[1] * new / old
        assert found.shape[1] == int(np.ceil(exact) if new > old else np.floor(exact))
        assert np.abs(found - whole.numpy()[:, : found.shape[1]]).max() < 1e-6


def test_resampling_keeps_what_both_rates_can_hold_and_drops_the_rest() -> None:
    t = np.arange(48_000) / 48_000
    low, high = (np.sin(2 * np.pi * f * t)[None].astype(np.float32) / 2 for f in (5_000, 12_000))
    assert np.abs(audio_signal.resample(high, 48_000, 16_000)[:, 200:-200]).max() < 1e-4
    there = audio_signal.resample(low, 48_000, 44_100)
    wanted = np.sin(2 * np.pi * 5_000 * np.arange(there.shape[1]) / 44_100) / 2
    assert np.abs(there - wanted)[:, 200:-200].max() < 1e-4
    back = audio_signal.resample(audio_signal.resample(low, 48_000, 96_000), 96_000, 48_000)
    assert back.shape == low.shape and np.abs(back - low)[:, 200:-200].max() < 1e-4


def test_lengths_come_back_and_odd_rates_are_nearly_exact() -> None:
    for count in (1, 2, 147, 1_000, 4_411):
        x = song(44_100, count, 1)
        assert audio_signal.resample(audio_signal.resample(x, 44_100, 48_000), 48_000, 44_100).shape == x.shape
        assert audio_signal.resample(x, 48_000, 8_000).shape[1] == max(1, count // 6)
    usual = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
    assert all(
        audio_signal.ratio(a, b) == b / a or abs(audio_signal.ratio(a, b) * a - b) == 0 for a in usual for b in usual
    )
    for old, new in ((11_127, 44_100), (44_101, 44_100), (1_000, 767_999), (767_999, 1_000)):
        assert abs(float(audio_signal.ratio(old, new)) * old / new - 1) < 2e-4
    assert audio_signal.resample(song(11_127, 500, 1), 11_127, 44_100).shape[1] == pytest.approx(
        500 * 44_100 / 11_127, abs=1
    )


def test_mixing() -> None:
    x = song(count=500)
    assert audio_signal.mix(x, 2) is x
    assert np.array_equal(audio_signal.mix(x[:1], 3), np.repeat(x[:1], 3, axis=0))
    assert np.allclose(audio_signal.mix(x, 1), x.mean(0, keepdims=True))
    for channels, low in ((3, None), (4, None), (5, None), (6, 3), (7, 3), (8, 3)):
        every = np.eye(channels, dtype=np.float32)  # each channel speaks in turn
        left, right = audio_signal.mix(every, 2)
        assert left.sum() == pytest.approx(1) and right.sum() == pytest.approx(1)
        assert left[0] == right[1] > left[1] == right[0] == 0
        assert np.allclose(np.sort(left), np.sort(right))
        silent = {at for at in range(channels) if left[at] == right[at] == 0}
        assert silent == ({low} if low else set())
    for have, want in ((2, 3), (6, 5), (9, 2), (2, 0)):
        with pytest.raises(ValueError, match="cannot be mixed"):
            audio_signal.mix(np.zeros((have, 9), np.float32), want)


def test_loudness_of_the_conformance_signals() -> None:
    """EBU Tech 3341, table 1, cases 1 to 3: stereo sines of 1 kHz at peak levels in dB, within 0.1 LU."""

    def tone(*parts: tuple[float, float]) -> Audio:
        level = np.concatenate([np.full(round(s * 48_000), 10 ** (dB / 20)) for s, dB in parts])
        sine = level * np.sin(2 * np.pi * 1_000 * np.arange(len(level)) / 48_000)
        return Audio(np.stack([sine, sine]).astype(np.float32), 48_000)

    assert tone((5, -23)).loudness() == pytest.approx(-23, abs=0.1)
    assert tone((5, -33)).loudness() == pytest.approx(-33, abs=0.1)
    assert tone((3, -36), (20, -23), (3, -36)).loudness() == pytest.approx(-23, abs=0.1)
    assert Audio(np.zeros((2, 48_000), np.float32), 48_000).loudness() == -np.inf


@pytest.mark.parametrize("lufs", [-30, -16, -9])
def test_normalised_loudness_is_reached_under_the_peak(lufs: float) -> None:
    clip = Audio(song(), 44_100, REQUEST)
    out = clip.normalized(lufs, peak=-1)
    assert out.loudness() == pytest.approx(lufs, abs=0.06)
    assert out.peak <= 10 ** (-1 / 20) + 1e-6 and out.metadata == REQUEST
    if lufs == -30:  # nothing to hold: one gain for all
        assert np.allclose(out.samples, clip.samples * (out.peak / clip.peak), atol=1e-7)


def test_the_limiter_holds_peaks_and_leaves_the_rest() -> None:
    x = song() * 0.5
    x[:, 25_000] = 0.99, -0.7
    out = audio_signal.limit(x, 44_100, 0.6)
    far = np.abs(np.arange(x.shape[1]) - 25_000) > 2 * 0.0051 * 44_100
    quiet = far & (np.abs(x).max(0) < 0.6)
    assert np.abs(out).max() <= 0.6 + 1e-7 and np.abs(x[:, far]).max() < 0.6
    assert np.allclose(out[:, quiet], x[:, quiet], atol=1e-6)
    assert np.allclose(out[0, 25_000] / out[1, 25_000], x[0, 25_000] / x[1, 25_000], rtol=1e-5)
    assert audio_signal.limit(x, 44_100, 1.0) is x


def test_loudness_that_cannot_be() -> None:
    clip = Audio(song(), 44_100)
    cases = (
        (Audio(np.zeros((2, 48_000), np.float32), 48_000), -14, "silence"), (clip, 0, "LUFS"), (clip, -99, "LUFS"),
        (Audio(song(count=9_000), 44_100), -14, "0.4 s"), (clip.mixed(1).mixed(6), -14, "channels"),
        (clip, float("nan"), "LUFS"),
    )  # fmt: skip
    for sound, lufs, words in cases:
        with pytest.raises(ValueError, match=words):
            sound.normalized(lufs)
    with pytest.raises(ValueError, match="peak"):
        clip.normalized(-14, peak=3)
    with pytest.raises(ValueError, match="cannot be reached"):
        clip.normalized(-5, peak=-20)


# ---- the clip


def test_tensors_and_seconds() -> None:
    x = torch.linspace(-2, 2, 88_200).reshape(2, 44_100)
    clip = Audio.from_tensor(x, 44_100)
    assert clip.seconds == 1 and clip.channels == 2 and clip.peak == 1
    assert torch.equal(clip.tensor(), x.clamp(-1, 1)) and clip.numpy() is clip.samples
    with pytest.raises(ValueError, match="samples must"):
        Audio.from_tensor(x * torch.nan, 44_100)


def test_the_spectrogram_shows_a_sine_where_it_is_at_its_level() -> None:
    t = np.arange(44_100) / 44_100
    for hertz in (220, 1_000, 5_000):
        x = 0.5 * np.sin(2 * np.pi * hertz * t)[None].astype(np.float32)
        levels, loudest = audio_plot.spectrogram(x, 44_100, 200, 340)
        row = levels[:, 100].argmax()
        wanted = 340 * (1 - np.log10(1 + hertz / 700) / np.log10(1 + 22_050 / 700))
        assert abs(row + 0.5 - wanted) < 3
        assert -0.01 < loudest - levels.max() < 5  # rows between two bands are averages of theirs
        assert hertz < 1_000 or -10 < loudest < -5.9
        assert levels[:, 100].max() - np.median(levels[:, 100]) > 60


def test_the_spectrogram_shows_a_click_when_it_is() -> None:
    x = np.zeros((2, 44_100), np.float32)
    x[:, 11_025] = 1
    levels, _ = audio_plot.spectrogram(x, 44_100, 200, 100)
    assert abs(int(levels.mean(0).argmax()) - 50) <= 1 and levels[:, 100].max() < -100


def test_the_waveform_covers_the_extent_of_its_samples() -> None:
    x = np.zeros(1_000, np.float32)
    x[500:] = np.tile([0.5, -0.5], 250)
    panel = audio_plot.waveform(x, 100, 104, 1.0).astype(int)
    lit = (panel != panel[0, 0]).any(-1)  # rows 2 to 102 span -1 to 1
    assert lit[:, 25].sum() <= 3 and np.flatnonzero(lit[:, 75]).tolist() == list(range(27, 77))


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_pictures_of_every_kind_of_clip(channels: int) -> None:
    for samples in (song(count=9_000, channels=channels), np.zeros((channels, 1), np.float32), song(count=50) * 1e-4):
        picture = Audio(samples, 44_100).plot(size=(500, 300))
        assert picture.size == (500, 300) and len(np.unique(picture.pixels.reshape(-1, 3), axis=0)) > 20
    for size in ((10, 10), (9_000, 300)):
        with pytest.raises(ValueError, match="picture of a sound"):
            Audio(samples, 44_100).plot(size=size)


def test_notebooks_get_a_picture_and_a_player_of_the_same_sound() -> None:
    clip = Audio(grid(16), 44_100)
    html = clip._repr_html_()
    sound = base64.b64decode(re.search(r"data:audio/flac;base64,([^\"]+)", html)[1])
    assert np.array_equal(soundfile.read(io.BytesIO(sound), dtype="float32")[0].T, clip.samples)
    assert base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", html)[1])[1:4] == b"PNG"
    assert "too long" in Audio(np.zeros((1, 700_000), np.float32), 1_000)._repr_html_()


def test_playing_goes_to_the_sound_card_or_says_what_lacks(monkeypatch) -> None:
    clip, heard = Audio(song(count=99), 44_100), []

    class Card:
        @staticmethod
        def play(data: np.ndarray, rate: int, blocking: bool) -> None:
            heard.append((data.shape, rate, blocking))

    monkeypatch.setitem(sys.modules, "sounddevice", Card)
    clip.play()
    assert heard == [((99, 2), 44_100, True)]

    class PortAudioError(Exception):
        pass

    def absent(*_: object, **__: object) -> None:
        raise PortAudioError("no default output device")

    monkeypatch.setattr(Card, "play", absent)
    with pytest.raises(ValueError, match="no sound card"):
        clip.play()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ValueError, match="sounddevice"):
        clip.play()


def test_the_module_loads_no_codec() -> None:
    code = "import sys, mediagen.modalities.audio; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    )
    assert loaded & {"av", "soundfile", "torchaudio", "pyloudnorm", "scipy", "PIL", "sounddevice"} == set()
