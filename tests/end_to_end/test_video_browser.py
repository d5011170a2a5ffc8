"""What is written plays in a real browser: headless Chromium, where it is installed (Debian's package `chromium`)."""

import json
import shutil
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np
import pytest

from mediagen.modalities.audio import Audio
from mediagen.modalities.video import Video

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")]
FILMS, PICTURES = ("even.mp4", "odd.mp4", "even.webm", "odd.webm"), ("a.gif", "a.webp", "a.apng")
COLOUR = (220, 40, 60)
# Each film is played to its end and its last frame read from a canvas; the frames of pictures are counted.
PAGE = """<!doctype html><script>
const once = (what, name) => new Promise(done => what.addEventListener(name, done, {once: true}));
async function film(name) {
  const video = document.createElement("video");
  video.src = name;
  document.documentElement.append(video);
  const failed = once(video, "error").then(() => video.error.message);
  const error = await Promise.race([failed, once(video, "canplaythrough")]);
  if (typeof error === "string") return {error};
  const ended = once(video, "ended");
  await video.play();
  await ended;
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight).getContext("2d");
  canvas.drawImage(video, 0, 0);
  const middle = canvas.getImageData(video.videoWidth / 2, video.videoHeight / 2, 1, 1).data;
  return {ready: video.readyState, seconds: video.duration, size: [video.videoWidth, video.videoHeight],
          at: video.currentTime, colour: [...middle.slice(0, 3)], heard: video.webkitAudioDecodedByteCount};
}
async function picture(name) {
  const type = {gif: "image/gif", webp: "image/webp", apng: "image/png"}[name.split(".")[1]];
  const decoder = new ImageDecoder({data: await (await fetch(name)).arrayBuffer(), type});
  await decoder.tracks.ready;
  await decoder.completed;
  const {image} = await decoder.decode({frameIndex: 0});
  const track = decoder.tracks.selectedTrack;
  return {frames: track.frameCount, repeats: track.repetitionCount, size: [image.displayWidth, image.displayHeight],
          shown: image.duration};
}
(async () => {
  const found = {};
  for (const [names, look] of [[FILMS, film], [PICTURES, picture]])
    for (const name of names)
      try { found[name] = await look(name); } catch (error) { found[name] = {error: String(error)}; }
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""


def files(folder: Path) -> None:
    """Noise of one colour that fades to a flat one below a mark that moves, with a sound of the same two seconds."""
    fade = np.linspace(1, 0, 17)[:, None, None, None]
    noise = np.random.default_rng(0).integers(-30, 30, (17, 48, 64, 3))
    frames = (np.array(COLOUR) + fade * noise).astype(np.uint8)
    for number, frame in enumerate(frames):
        frame[2:10, 3 * number : 3 * number + 8] = 255
    t = np.arange(102_000) / 48_000
    sound = Audio((0.2 * np.sin(2 * np.pi * 440 * t))[None].astype(np.float32), 48_000)
    for name in FILMS:
        cut = frames[:, :47, :63] if name.startswith("odd") else frames
        Video(np.ascontiguousarray(cut), 8, sound).save(folder / name)
    for name in PICTURES:
        Video(frames, 8).save(folder / name)
    page = PAGE.replace("FILMS", json.dumps(FILMS)).replace("PICTURES", json.dumps(PICTURES))
    (folder / "index.html").write_text(page)


def browsed(folder: Path, profile: Path) -> dict:
    """What the page found, sent back by it."""
    answers: Queue[bytes] = Queue()

    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            answers.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    options += [f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/index.html"]
    chromium = subprocess.Popen([BROWSER, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return json.loads(answers.get(timeout=120))
    finally:
        chromium.terminate()
        chromium.wait()
        server.shutdown()


def test_chromium_plays_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    files(folder)
    found = browsed(folder, tmp_path / "profile")
    (tmp_path / "found.json").write_text(json.dumps(found, indent=1))
    for name in FILMS:
        film = found[name]
        assert "error" not in film, f"{name}: {film}"  # a Chromium without H.264 says so here
        wanted = [64, 48] if name != "odd.webm" else [63, 47]
        assert film["size"] == wanted and film["ready"] >= 2 and film["heard"] > 1000
        assert abs(film["seconds"] - 2.125) < 0.02 and abs(film["at"] - film["seconds"]) < 0.05
        assert max(abs(a - b) for a, b in zip(film["colour"], COLOUR, strict=True)) <= 4
    for name in PICTURES:
        picture = found[name]
        assert picture.get("frames") == 17 and picture["size"] == [64, 48], f"{name}: {picture}"
        assert picture["repeats"] in (None, 0) or picture["repeats"] > 1e6  # JSON has no infinity
        assert picture["shown"] in (120_000, 125_000, 130_000)
