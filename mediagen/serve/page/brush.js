/** A brush over a picture: what is painted is made anew. By mouse, finger, pen, or keys. */

import { button, h } from "./dom.js";

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** picture: something that a canvas draws. mask(): a data: URL, white where it is painted; null where nothing is. */
export function brush(picture, width, height, { change = () => {} } = {}) {
  const strokes = [];
  const fine = Math.max(1, Math.round(768 / Math.max(width, height))); // of the canvas to a pixel of the picture
  let size = Math.max(8, Math.round(Math.min(width, height) / 5));
  let cursor = [width / 2, height / 2];
  const canvas = h("canvas", {
    width: width * fine,
    height: height * fine,
    tabindex: 0,
    class: "paint",
    role: "application",
    "aria-label":
      "Paint what is made anew: drag, or move with the arrow keys and paint with space; brackets change the brush",
  });
  canvas.style.setProperty("--ratio", width / height);
  const paint = canvas.getContext("2d");

  function stroke(target, { size: wide, points }) {
    Object.assign(target, { lineWidth: wide, lineCap: "round", lineJoin: "round" });
    target.beginPath();
    target.moveTo(...points[0]);
    for (const point of points.length > 1 ? points.slice(1) : points) target.lineTo(...point);
    target.stroke();
  }
  /** The mask on a layer of its own, so that strokes that overlap do not darken each other. */
  function layer(colour, scale) {
    const cover = new OffscreenCanvas(width * scale, height * scale);
    const target = cover.getContext("2d");
    target.scale(scale, scale);
    target.strokeStyle = colour;
    for (const one of strokes) stroke(target, one);
    return cover;
  }
  function show() {
    paint.setTransform(1, 0, 0, 1, 0, 0);
    paint.imageSmoothingQuality = "high";
    paint.drawImage(picture, 0, 0, canvas.width, canvas.height);
    paint.globalAlpha = 0.62;
    paint.drawImage(layer(getComputedStyle(canvas).getPropertyValue("--accent"), fine), 0, 0);
    paint.globalAlpha = 1;
    paint.setTransform(fine, 0, 0, fine, 0, 0);
    for (const [colour, wide] of [
      ["#000a", 7 / fine],
      ["#fff", 3 / fine],
    ]) {
      paint.strokeStyle = colour;
      paint.lineWidth = wide;
      paint.beginPath();
      paint.arc(...cursor, size / 2, 0, 7);
      paint.stroke();
    }
    change(strokes.length);
  }
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    cursor = place(event);
    strokes.push({ size, points: [cursor] });
    show();
  });
  canvas.addEventListener("pointermove", (event) => {
    cursor = place(event);
    if (event.buttons) strokes.at(-1)?.points.push(cursor);
    show();
  });
  canvas.addEventListener("keydown", (event) => {
    const by = KEYS[event.key];
    const step = event.shiftKey ? 8 : 3;
    if (by) cursor = [0, 1].map((axis) => Math.max(0, Math.min([width, height][axis], cursor[axis] + step * by[axis])));
    else if (event.key === " ") strokes.push({ size, points: [cursor] });
    else if (event.key === "[" || event.key === "]") resize(size + (event.key === "]" ? 4 : -4));
    else if (event.key === "z" && (event.ctrlKey || event.metaKey)) strokes.pop();
    else return;
    event.preventDefault();
    show();
  });
  const most = Math.round(Math.max(width, height) / 2);
  function resize(to) {
    size = range.value = Math.max(4, Math.min(most, to));
    range.style.setProperty("--done", `${(100 * (size - 4)) / (most - 4)}%`);
  }
  const range = h("input", {
    type: "range",
    min: 4,
    max: most,
    value: size,
    "aria-label": "Size of the brush",
    oninput: () => {
      resize(Number(range.value));
      show();
    },
  });
  resize(size);
  const undo = button("Undo", "undo", () => {
    strokes.pop();
    show();
  });
  const clear = button("Clear", "close", () => {
    strokes.length = 0;
    show();
  });
  const tools = h(
    "div",
    { class: "tools" },
    h("label", { class: "grow" }, h("span", { class: "label" }, "Brush"), range),
    undo,
    clear,
  );
  new ResizeObserver(show).observe(canvas);

  async function mask() {
    if (!strokes.length) return null;
    const cover = new OffscreenCanvas(width, height);
    const target = cover.getContext("2d");
    target.fillStyle = "#000";
    target.fillRect(0, 0, width, height);
    target.drawImage(layer("#fff", 1), 0, 0);
    return url(await cover.convertToBlob({ type: "image/png" }));
  }
  return { element: h("div", { class: "brush" }, canvas, tools), mask };
}

/** A blob as a data: URL, which the API takes wherever it takes a file. */
export function url(content) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(content);
  });
}
