/** What to begin with. The models that ship know everyday things, twelve genres, and things that move. */

export const EXAMPLES = {
  image: [
    "a cat left of a pizza",
    "a red balloon in a blue sky with clouds",
    "a rocket in outer space",
    "three mushrooms in a forest",
    "a guitar on a wooden table",
    "a sailboat at the beach",
    "a butterfly on a plain yellow background",
    "a yellow car on a green meadow",
    "a penguin in the snow",
    "two strawberries on a plate",
  ],
  audio: [
    "slow jazz, piano and double bass, 96 bpm",
    "house, drums and synth bass, 120 bpm",
    "a calm bossa nova tune with flute, nylon guitar and double bass, at 122 bpm",
    "funk, electric bass and drums, 104 bpm",
    "lo-fi hip hop with electric piano, 80 bpm",
    "a solemn piece for strings, 70 bpm",
    "fast techno, 138 bpm",
    "reggae with organ and guitar, 76 bpm",
  ],
  video: [
    "a red apple slowly rolls to the right over the grass",
    "a rocket flies up in outer space",
    "a rabbit hops to the left in a meadow",
    "a ball bounces on a wooden floor",
    "a fish swims to the right",
    "a star spins in the night sky",
    "a balloon grows in front of a blue sky",
  ],
  live: [
    "slow jazz, piano and double bass, 96 bpm",
    "house, drums and synth bass, 120 bpm",
    "lo-fi hip hop with electric piano, 80 bpm",
    "ambient pads, 70 bpm",
    "funk, electric bass and drums, 104 bpm",
    "drum and bass, 170 bpm",
  ],
};

/** `count` of them, others each time the page is opened; the first is always the first. */
export function some(kind, count) {
  const [first, ...others] = EXAMPLES[kind];
  const mixed = others.map((text) => [Math.random(), text]).sort(([a], [b]) => a - b);
  return [first, ...mixed.map(([, text]) => text)].slice(0, count);
}

/** Examples as buttons that put their words into a field. */
export function chips(h, texts, choose) {
  return h(
    "div",
    { class: "chips", role: "group", "aria-label": "Examples" },
    texts.map((text) => h("button", { type: "button", class: "chip", onclick: () => choose(text) }, text)),
  );
}
