/** Sound that is seen: decoded once, drawn as a wave, played to the sample, loops without a gap. */

import { button, h, moment } from "./dom.js";

const BAR = 3; // pixels of a bar of the wave and of the gap after it
let output = null;
let playing = null;

/** Everything is heard through one context; it begins with the first click. */
function speaker() {
  output ??= new AudioContext();
  output.resume();
  return output;
}

/** A file's samples at its own rate, so that a loop's end meets its beginning. */
export async function decode(content, rate = 44100) {
  return new OfflineAudioContext(1, 1, rate).decodeAudioData(await content.arrayBuffer());
}

/** The loudest of each of `count` parts, 0..1 of the loudest of all. */
export function peaks(buffer, count) {
  const all = Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel));
  const size = buffer.length / count;
  const found = Array.from({ length: count }, (_, at) => {
    let most = 0;
    const end = Math.min(buffer.length, Math.ceil((at + 1) * size));
    for (const samples of all)
      for (let i = Math.floor(at * size); i < end; i += 4) most = Math.max(most, Math.abs(samples[i]));
    return most;
  });
  const loudest = Math.max(...found, 1e-4);
  return found.map((peak) => peak / loudest);
}

/** Draw a wave as bars; what lies before `done` (0..1) in the room's full colour. */
export function draw(canvas, buffer, done = 1) {
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !buffer) return;
  const count = Math.floor(width / BAR);
  if (canvas.peaks?.length !== count || canvas.shown !== buffer)
    Object.assign(canvas, { peaks: peaks(buffer, count), shown: buffer });
  canvas.width = width * scale;
  canvas.height = height * scale;
  const style = getComputedStyle(canvas);
  const paint = canvas.getContext("2d");
  paint.scale(scale, scale);
  canvas.peaks.forEach((peak, at) => {
    const tall = Math.max(2, peak * (height - 4));
    paint.fillStyle = style.getPropertyValue(at < done * count ? "--accent" : "--rest");
    paint.beginPath();
    paint.roundRect(at * BAR, (height - tall) / 2, BAR - 1, tall, 1);
    paint.fill();
  });
}

/** A player: a button, the wave, which is a slider, and the time. load(): the file; loop: it goes on for ever. */
export function player(load, { loop = false, rate, label = "clip" } = {}) {
  let buffer = null;
  let node = null;
  let began = 0;
  let offset = 0;
  const canvas = h("canvas", {
    class: "wave",
    tabindex: 0,
    role: "slider",
    "aria-label": `Place in the ${label}`,
    "aria-valuemin": 0,
  });
  const time = h("span", { class: "time" }, "");
  const toggle = button(`Play the ${label}`, "play", () => (node ? pause() : play()), { round: true, disabled: true });
  const element = h("div", { class: "player loading" }, toggle, h("div", { class: "surface" }, canvas), time);

  const position = () => {
    if (!node) return offset;
    const at = offset + speaker().currentTime - began;
    return loop ? at % buffer.duration : Math.min(at, buffer.duration);
  };
  const show = () => {
    const at = position();
    draw(canvas, buffer, node || offset ? at / buffer.duration : 0);
    time.textContent = `${moment(at)} / ${moment(buffer.duration)}`;
    canvas.setAttribute("aria-valuenow", at.toFixed(1));
    canvas.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${buffer.duration.toFixed(1)} seconds`);
    element.dataset.at = at.toFixed(2);
  };
  const frame = () => {
    if (!node || !element.isConnected) return node && pause();
    show();
    requestAnimationFrame(frame);
  };
  const face = (name, drawing) => {
    toggle.setAttribute("aria-label", name);
    toggle.title = name;
    toggle.querySelector("use").setAttribute("href", `#i-${drawing}`);
    element.classList.toggle("playing", drawing === "pause");
  };

  function play() {
    if (!buffer) return; // it is on its way
    if (playing && playing !== pause) playing();
    playing = pause;
    const context = speaker();
    node = new AudioBufferSourceNode(context, { buffer, loop });
    node.connect(context.destination);
    if (offset >= buffer.duration - 0.01) offset = 0;
    node.onended = () => {
      if (node) {
        pause();
        offset = 0;
        show();
      }
    };
    node.start(0, offset);
    began = context.currentTime;
    face(`Pause the ${label}`, "pause");
    frame();
  }
  function pause() {
    if (!node) return;
    offset = position();
    node.onended = null;
    node.stop();
    node = null;
    if (playing === pause) playing = null;
    face(`Play the ${label}`, "play");
    show();
  }
  function seek(to) {
    if (!buffer) return;
    const on = Boolean(node);
    if (on) pause();
    offset = Math.max(0, Math.min(to, buffer.duration));
    if (on) play();
    else show();
  }
  const drag = (event) => buffer && event.buttons && seek((event.offsetX / canvas.clientWidth) * buffer.duration);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag(event);
  });
  canvas.addEventListener("pointermove", drag);
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -1e9, End: 1e9 }[event.key];
    if (event.key === " ") node ? pause() : play();
    else if (by) seek(position() + by);
    else return;
    event.preventDefault();
  });
  const again = new ResizeObserver(() => buffer && show());
  again.observe(canvas);
  document.addEventListener("themechange", () => buffer && element.isConnected && show());

  const ready = load()
    .then((content) => decode(content, rate))
    .then((decoded) => {
      buffer = decoded;
      canvas.setAttribute("aria-valuemax", buffer.duration.toFixed(1));
      toggle.disabled = false;
      element.classList.remove("loading");
      show();
      return buffer;
    })
    .catch((error) => {
      time.textContent = error.message;
      throw error;
    });
  ready.catch(() => {}); // it is told above
  return { element, ready, surface: canvas.parentElement, pause: () => pause() };
}

/** Nothing is heard any more. */
export function hush() {
  playing?.();
}
