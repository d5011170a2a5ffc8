/** Elements in one line each. No text ever becomes markup: the page's policy forbids it. */

/** h("button", {class: "main", onclick}, "Make"): an element; a property that is false or null is left out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

function set(element, name, value) {
  if (name.startsWith("aria-")) value = value?.toString(); // "false" says something
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "value" || name === "checked" || name === "muted") element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the drawings at the top of index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** A button with a drawing and, unless it is round, its name beside it. */
export function button(name, drawing, onclick, properties = {}) {
  const { round, ...rest } = properties;
  const said = round ? { "aria-label": name, title: name } : {};
  const kind = round ? "quiet round" : "quiet";
  return h(
    "button",
    { type: "button", class: kind, onclick, ...said, ...rest },
    drawing && icon(drawing),
    !round && h("span", {}, name),
  );
}

/** Tell people who do not see the page. */
export function say(text) {
  document.getElementById("say").textContent = text;
}

/** What concerns the whole page, at its top. */
export function tell(message) {
  const close = button("Close", "close", () => notice.remove(), { round: true });
  const notice = h("p", { class: "notice" }, h("span", {}, message), close);
  document.getElementById("notice").replaceChildren(notice);
}

/** 3.2 -> "3 s", 75 -> "1:15". */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** 83.456 -> "1:23.5", with tenths: where in a clip. */
export function moment(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

/** When, as people say it: "just now", "5 min ago", "14:05", "3 Nov". */
export function ago(epoch) {
  const then = new Date(epoch * 1000);
  const minutes = (Date.now() - then) / 60000;
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  if (then.toDateString() === new Date().toDateString())
    return then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return then.toLocaleDateString([], { day: "numeric", month: "short" });
}

/** A dialog over the page; what it shows is built by `fill(close)`. Escape and the cross close it. */
export function dialog(title, fill, properties = {}) {
  const close = () => box.close();
  const cross = button("Close", "close", close, { round: true });
  const heading = h("h2", { id: "dialog-title" }, title);
  const box = h("dialog", { "aria-labelledby": "dialog-title", ...properties }, h("header", {}, heading, cross));
  box.append(...[fill(close)].flat());
  box.addEventListener("close", () => box.remove());
  box.addEventListener("pointerdown", (event) => event.target === box && close());
  document.body.append(box);
  box.showModal();
  return box;
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
