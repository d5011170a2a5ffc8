"""A published model of sound through our pipeline: `python published_music.py FOLDER_OR_REPOSITORY [STEPS] [SECONDS]`.

Needs `pip install 'mediagen[published]'`, and a checkpoint of Stable Audio Open, AudioLDM2, MusicLDM, ACE-Step (in
diffusers' layout) or MusicGen (in transformers'): a folder, or a repository such as stabilityai/stable-audio-open-1.0.
"""

import sys

import mediagen

pipeline = mediagen.load(sys.argv[1])
writes = hasattr(pipeline.model, "sampling")  # MusicGen writes codes, the others walk from noise
steps = {"steps": int(sys.argv[2])} if len(sys.argv) > 2 and not writes else {}
prompt, length = "warm piano over soft drums", float(sys.argv[3]) if len(sys.argv) > 3 else 8.0

# as it was published: its own schedule, solver, guidance and number of steps, or temperature and top_k
first = pipeline.generate(prompt, seconds=length, seed=7, **steps)
first.save("published.wav")

# what comes after it; each sample of it stays
longer = pipeline.extend(first, prompt, right=length / 4, seed=7, **steps)
longer.save("longer.wav")

if writes:
    pipeline.generate(prompt, seconds=length, seed=7, temperature=0.8, top_k=50).save("calmer.wav")
else:
    # any solver of ours, and edits: the clip made anew from its noised self, a second in its middle played again
    pipeline.generate(prompt, seconds=length, seed=7, solver="unipc", eta=0.0, **steps).save("unipc.wav")
    pipeline.vary(first, "bright piano", strength=0.6, seed=8, **steps).save("varied.wav")
    pipeline.inpaint(first, length / 4, length / 2, prompt, seed=8, **steps).save("mended.wav")
print("made again, sample for sample:", mediagen.replay("published.wav", model=sys.argv[1]).equal)
