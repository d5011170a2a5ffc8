/** The server's public API, as any other program calls it, and the key that it may ask for. */

import { h, dialog } from "./dom.js";

const KEPT = "mediagen-key";

/** What the server refused, in its own one line. param: the field that is wrong. */
export class Refused extends Error {
  constructor(error, status, after) {
    super(error.message);
    Object.assign(this, { status, after, param: error.param, code: error.code });
  }
}

/** A request that is answered well, or Refused. */
export async function call(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEPT);
    const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
    const response = await fetch(path, { ...options, headers }).catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Refused({ message: "The server does not answer. Is it still running?", code: "unreachable" }, 0);
    });
    if (response.ok) return response;
    const refused = await refusal(response);
    if (response.status !== 401) throw refused;
    if (key === sessionStorage.getItem(KEPT)) await asked(key ? "This key is not right." : null);
  }
}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const error = body.error ?? { message: `The server answered ${response.status}.`, code: "unknown" };
  return new Refused(error, response.status, Number(response.headers.get("retry-after")) || null);
}

export const get = async (path, signal) => (await call(path, { signal })).json();
export const remove = async (path) => (await call(path, { method: "DELETE" })).json();

export function send(path, body, signal) {
  return call(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
    signal,
  });
}

export const post = async (path, body, signal) => (await send(path, body, signal)).json();

/** Keep a file of this person's; its decoded content is named by the answer's id. */
export async function upload(file, kind) {
  const form = new FormData();
  form.append("file", file);
  form.append("kind", kind);
  return (await call("/v1/files", { method: "POST", body: form })).json();
}

/** Server-sent events as {name, data}, with the key, which a browser's own EventSource cannot send. */
export async function* events(path, signal) {
  const response = await call(path, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) yield event(part);
  }
}

function event(text) {
  const lines = Object.fromEntries(
    text.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
  );
  return { name: lines.event, data: JSON.parse(lines.data) };
}

// ---- files

const MOST = 60; // files that are held; the one that was looked at longest ago goes first
const held = new Map();

/** A file of the server as a blob; asked for once. */
export function blob(path) {
  const found = held.get(path) ?? call(path).then((response) => response.blob());
  held.delete(path);
  held.set(path, found);
  found.catch(() => held.delete(path));
  if (held.size > MOST) held.delete(held.keys().next().value);
  return found;
}

/** A blob's address for an element; it is let go when the element has loaded it, or holds another one. */
export function shown(element, content) {
  const old = element.dataset.url;
  element.dataset.url = URL.createObjectURL(content);
  element.src = element.dataset.url;
  if (old) URL.revokeObjectURL(old);
}

/** Hand a file to the browser's downloads. */
export function save(content, name) {
  const url = URL.createObjectURL(content);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// ---- the key

let asking = null;

/** Ask for the key, once for all that wait for it. */
function asked(wrong) {
  asking ??= new Promise((done) => {
    const input = h("input", {
      type: "password",
      id: "key",
      autocomplete: "current-password",
      required: true,
      autofocus: true,
    });
    const enter = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEPT, input.value.trim());
      box.close();
    };
    const why = h(
      "p",
      { class: "hint" },
      "This server asks for a key (MEDIAGEN_API_KEY). It is kept until this tab is closed.",
    );
    const form = () =>
      h(
        "form",
        { class: "stack", onsubmit: enter },
        why,
        h("label", { for: "key" }, "Key"),
        input,
        wrong && h("p", { class: "wrong", role: "alert" }, wrong),
        h("button", { class: "main" }, "Go on"),
      );
    const box = dialog("Who is there?", form, { class: "small", id: "ask-key" });
    box.querySelector("header button").remove(); // there is nothing to see behind it
    box.addEventListener("cancel", (event) => event.preventDefault());
    box.addEventListener("close", () => done());
  }).finally(() => {
    asking = null;
  });
  return asking;
}
