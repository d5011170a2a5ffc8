/** How results look: a picture, a clip of sound, a film; and the strip of a film's frames. */

import { shown } from "./api.js";
import { calm, h } from "./dom.js";
import { first, prompt, result } from "./jobs.js";
import { player } from "./sound.js";

/** The element of result `number` of a job that is done. */
export function view(job, number, { rate } = {}) {
  return { image: picture, audio: sound, video: film }[job.modality](job, number, rate);
}

function picture(job, number) {
  const image = h("img", { class: "made", alt: prompt(job) || job.name || "" });
  sized(image, job);
  result(job, number)
    .then((content) => shown(image, content))
    .catch((error) => failed(image, error));
  return image;
}

function sound(job, number, rate) {
  const loop = Boolean(job.asked.bars || job.asked.loop);
  return player(() => result(job, number), { loop, rate, label: loop ? "loop" : "clip" }).element;
}

function film(job, number) {
  const video = h("video", {
    class: "made",
    controls: true,
    loop: true,
    muted: true,
    playsinline: true,
    "aria-label": prompt(job) || job.name || "",
  });
  sized(video, job);
  if (!job.content)
    first(job, number)
      .then((content) => {
        video.poster = URL.createObjectURL(content);
      })
      .catch(() => {});
  result(job, number)
    .then((content) => {
      shown(video, content);
      if (!calm()) video.play().catch(() => {}); // a browser may not want to
    })
    .catch((error) => failed(video, error));
  return video;
}

function sized(element, job) {
  const [width, height] = job.about.size ?? [];
  if (!width) return;
  element.width = width;
  element.height = height;
  element.style.aspectRatio = `${width} / ${height}`;
  element.style.setProperty("--wide", `${width * Math.max(1, Math.round(448 / Math.max(width, height)))}px`);
}

function failed(element, error) {
  element.replaceWith(h("p", { class: "wrong" }, error.message));
}

/** A picture that is laid out again and again, as a tile is meant to be. */
export function tiled(job, number) {
  const box = h("div", { class: "tiled made", role: "img", "aria-label": `${prompt(job)}, repeated` });
  result(job, number)
    .then((content) => {
      box.style.backgroundImage = `url(${URL.createObjectURL(content)})`;
    })
    .catch((error) => failed(box, error));
  return box;
}

/** A result as something that a canvas draws: the picture, or a film's first frame. */
export async function bitmap(job, number) {
  const content = await (job.modality === "video" && !job.content ? first(job, number) : result(job, number));
  return job.modality === "video" && job.content ? frame(content) : createImageBitmap(content);
}

async function frame(content) {
  const video = h("video", { muted: true });
  await opened(video, content);
  return createImageBitmap(video);
}

/** A film's element, once a frame of it is there. */
function opened(video, content) {
  shown(video, content);
  return new Promise((done, fail) => {
    video.onloadeddata = done;
    video.onerror = () => fail(new Error("This film cannot be shown by the browser."));
  });
}

/** Frames of a film side by side, drawn one after the other. ready: the film's seconds. */
export function strip(job, number, count = 8) {
  const canvas = h("canvas", { class: "wave", role: "img", "aria-label": "Frames of the film" });
  const video = h("video", { muted: true, preload: "auto", playsinline: true });
  const once = (name) => new Promise((done) => video.addEventListener(name, done, { once: true }));
  const ready = result(job, number).then(async (content) => {
    await opened(video, content);
    return video.duration;
  });
  ready
    .then(async (seconds) => {
      const scale = devicePixelRatio || 1;
      const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
      Object.assign(canvas, { width, height });
      const paint = canvas.getContext("2d");
      const side = Math.min(video.videoWidth / (width / count), video.videoHeight / height);
      const [w, hh] = [(side * width) / count, side * height];
      for (let at = 0; at < count; at += 1) {
        const sought = once("seeked");
        video.currentTime = Math.min((seconds * (at + 0.5)) / count, seconds - 0.01);
        await sought;
        paint.drawImage(
          video,
          (video.videoWidth - w) / 2,
          (video.videoHeight - hh) / 2,
          w,
          hh,
          (at * width) / count,
          0,
          width / count,
          height,
        );
      }
    })
    .catch(() => {});
  const surface = h("div", { class: "surface" }, canvas);
  return { element: h("div", { class: "player strip" }, surface), surface, ready };
}
