/** A stream of music as it is heard: blocks of samples one after the other, what was heard as a file, and its picture. */

import { get, post, send } from "./api.js";
import { calm } from "./dom.js";

const CUSHION = 1.5; // seconds that are there before it begins, or goes on after a gap
const KEPT = 600; // seconds that can be saved
const BROKEN = "The music broke off: the server is gone, or does not go on. Press play to begin anew.";
const LOOK = 500; // milliseconds after which it is looked how far it is ahead

/** Open a stream and hear it. volume(): 0..1; told({ahead, gap, factor}): where it is; ended(error): it is over; end: the
 * AbortController that ends it, also before it begins. */
export async function listen(asked, { volume, told, ended, end }) {
  const response = await send("/v1/audio/stream", { ...asked, output_format: "pcm" }, end.signal);
  const id = response.headers.get("x-stream-id");
  const [rate, channels] = ["x-rate", "x-channels"].map((name) => Number(response.headers.get(name)));
  const speaker = sounding(rate, channels, volume());
  const stream = { on: true, analyser: speaker.analyser, second: speaker.second };

  const over = (error) => {
    if (!stream.on) return;
    stream.on = false;
    end.abort();
    clearInterval(watch);
    speaker.close();
    ended(error);
  };
  const watch = setInterval(async () => {
    const ahead = speaker.ahead();
    const now = ahead > 0 ? null : await get(`/v1/audio/stream/${id}`).catch(() => null);
    if (stream.on) told({ ahead, gap: ahead <= 0, factor: now?.real_time_factor });
  }, LOOK);
  pump(response.body.getReader(), 2 * channels, speaker.give)
    .then(() => setTimeout(over, 1000 * speaker.ahead(), null))
    .catch((error) => over(error.name === "AbortError" ? null : new Error(BROKEN)));

  stream.change = (now) => post(`/v1/audio/stream/${id}`, now);
  stream.volume = () => speaker.volume(volume());
  stream.recorded = () => wave(speaker.kept, rate, channels);
  stream.stop = () => over(null);
  return stream;
}

/** Hand on what comes in, in whole frames of `size` bytes. */
async function pump(reader, size, give) {
  let rest = new Uint8Array();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const all = new Uint8Array(rest.length + value.length);
    all.set(rest);
    all.set(value, rest.length);
    const whole = all.length - (all.length % size);
    if (whole) give(new Int16Array(all.buffer.slice(0, whole)));
    rest = all.slice(whole);
  }
}

/** Plays blocks of 16-bit samples without a gap between them, at their own rate. */
function sounding(rate, channels, level) {
  const out = new AudioContext({ sampleRate: rate });
  const gain = new GainNode(out, { gain: level });
  const analyser = new AnalyserNode(out, { fftSize: 2048, smoothingTimeConstant: 0.82 });
  gain.connect(analyser).connect(out.destination);
  const kept = [];
  let next = 0; // when the next block begins
  let given = 0; // seconds of all blocks

  function give(samples) {
    const length = samples.length / channels;
    const buffer = new AudioBuffer({ length, numberOfChannels: channels, sampleRate: rate });
    for (let channel = 0; channel < channels; channel += 1) {
      const into = buffer.getChannelData(channel);
      for (let i = 0; i < length; i += 1) into[i] = samples[i * channels + channel] / 32768;
    }
    if (next < out.currentTime) next = out.currentTime + CUSHION; // at the beginning, and after a gap
    const node = new AudioBufferSourceNode(out, { buffer });
    node.connect(gain);
    node.start(next);
    next += buffer.duration;
    given += buffer.duration;
    kept.push(samples);
    while (kept.length > 1 && kept.reduce((sum, one) => sum + one.length, 0) > KEPT * rate * channels) kept.shift();
  }
  const ahead = () => next - out.currentTime;
  return {
    give,
    ahead,
    analyser,
    kept,
    second: () => Math.max(0, given - Math.max(0, ahead())),
    volume: (to) => gain.gain.setTargetAtTime(to, out.currentTime, 0.03),
    close: () => out.close(),
  };
}

/** Blocks of 16-bit samples as a WAV file. */
function wave(blocks, rate, channels) {
  const bytes = blocks.reduce((sum, one) => sum + one.byteLength, 0);
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  head.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, channels, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, rate * channels * 2, true);
  head.setUint16(32, channels * 2, true);
  head.setUint16(34, 16, true);
  text(36, "data");
  head.setUint32(40, bytes, true);
  return new Blob([head, ...blocks], { type: "audio/wav" });
}

/** Draw what is heard, low tones on the left, until on() is false; silence without an analyser. Where motion is unwanted,
 * four times a second. */
export function scope(canvas, analyser, on) {
  const bins = new Uint8Array(analyser?.frequencyBinCount ?? 1);
  const hertz = analyser ? analyser.context.sampleRate / analyser.fftSize : 1; // of a bin
  const edges = (count) => Array.from({ length: count + 1 }, (_, at) => (40 * 300 ** (at / count)) / hertz);
  const frame = () => {
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    Object.assign(canvas, { width: width * scale, height: height * scale });
    const paint = canvas.getContext("2d");
    paint.scale(scale, scale);
    paint.fillStyle = getComputedStyle(canvas).getPropertyValue(on() ? "--accent" : "--faint");
    analyser?.getByteFrequencyData(bins);
    const count = Math.max(8, Math.floor(width / 12));
    const sides = edges(count);
    for (let at = 0; at < count; at += 1) {
      const [from, to] = [Math.floor(sides[at]), Math.max(Math.floor(sides[at]) + 1, Math.ceil(sides[at + 1]))];
      const loud = on() ? Math.max(...bins.subarray(from, to)) / 255 : 0;
      const tall = Math.max(4, loud * (height - 8));
      paint.beginPath();
      paint.roundRect(at * (width / count) + 2, (height - tall) / 2, width / count - 4, tall, 4);
      paint.fill();
    }
    if (on()) calm() ? setTimeout(frame, 250) : requestAnimationFrame(frame);
  };
  frame();
}
