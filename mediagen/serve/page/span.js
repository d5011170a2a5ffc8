/** A range in time that is dragged over a wave or a strip of frames, or set with the arrow keys. */

import { h, moment } from "./dom.js";

/** Put a range over `surface`. read(): [start, end] in seconds; least: seconds of the shortest one. */
export function span(surface, { length, start, end, least = 0.2, change = () => {} }) {
  let range = [start, end];
  const handle = (which, name) =>
    h("div", {
      class: `handle ${name}`,
      role: "slider",
      tabindex: 0,
      "aria-label": `${which} of the part`,
      "aria-valuemin": 0,
      "aria-valuemax": length.toFixed(2),
      onkeydown: (event) => keyed(event, name === "start" ? 0 : 1),
    });
  const handles = [handle("Beginning", "start"), handle("End", "end")];
  const window_ = h("div", { class: "window" }, handles);
  const layer = h("div", { class: "span" }, h("i", { class: "shade" }), window_, h("i", { class: "shade after" }));
  surface.append(layer);

  function put(next) {
    const from = Math.max(0, Math.min(next[0], length - least));
    range = [from, Math.min(length, Math.max(next[1], from + least))];
    layer.style.setProperty("--from", `${(100 * range[0]) / length}%`);
    layer.style.setProperty("--to", `${(100 * range[1]) / length}%`);
    handles.forEach((one, at) => {
      one.setAttribute("aria-valuenow", range[at].toFixed(2));
      one.setAttribute("aria-valuetext", moment(range[at]));
    });
    change(range);
  }
  function keyed(event, which) {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = [...range];
    next[which] += by * (event.shiftKey ? 1 : 0.1);
    if (which === 0) next[0] = Math.min(next[0], range[1] - least);
    put(next);
  }

  let drag = null;
  const at = (event) => {
    const box = layer.getBoundingClientRect();
    return (length * Math.max(0, Math.min(event.clientX - box.left, box.width))) / box.width;
  };
  layer.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    layer.setPointerCapture(event.pointerId);
    const here = at(event);
    const which = handles.indexOf(event.target);
    if (which >= 0) drag = { anchor: range[1 - which] };
    else if (event.target === window_) drag = { move: here, from: range };
    else drag = { anchor: here };
    (which >= 0 ? handles[which] : handles[1]).focus();
  });
  layer.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const here = at(event);
    if (drag.from) {
      const by = Math.max(-drag.from[0], Math.min(here - drag.move, length - drag.from[1]));
      put(drag.from.map((one) => one + by));
    } else put([Math.min(drag.anchor, here), Math.max(drag.anchor, here)]);
  });
  for (const name of ["pointerup", "pointercancel"])
    layer.addEventListener(name, () => {
      drag = null;
    });
  put(range);
  return { read: () => range.map((one) => Number(one.toFixed(3))), put };
}
