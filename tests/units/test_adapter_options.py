"""What a caller and the command line may say of adapters, and what they may not."""

import pytest

from mediagen import adapter_options as options
from mediagen.cli import adapted
from mediagen.request import Control, ImagePrompt, Lora, Request, Source, Word

PLAIN = {"prompts": (("a cat", 1.0),), "seed": 1, "model": "m", "model_hash": "h", "version": "0"}


def test_files_with_weights() -> None:
    assert options.weighted(None, "lora") == [] and options.weighted("a", "lora") == [("a", 1.0)]
    assert options.weighted(("a", 2), "lora") == [("a", 2.0)]
    assert options.weighted(["a", ("b", 0.5)], "lora") == [("a", 1.0), ("b", 0.5)]
    for wrong in (3, [("a", "b")], [("a", 1.0, 2.0)], ("a", True)):
        with pytest.raises(ValueError, match="lora must be a path"):
            options.weighted(wrong, "lora")


def test_words() -> None:
    assert options.named({"sks": "a"}) == [("sks", "a")] and options.named(["a", "b"]) == [(None, "a"), (None, "b")]
    with pytest.raises(ValueError, match="words must be a path, a list of them, or a mapping"):
        options.named({"": "a"})


def test_control_and_image_prompts() -> None:
    assert options.control(("net", "room.png", 0.5)) == [
        options.ControlAsked(model="net", image="room.png", weight=0.5)
    ]
    assert [each.end for each in options.control([("n", "a"), {"model": "n", "image": "b", "end": 0.3}])] == [1.0, 0.3]
    assert options.image_prompts({"adapter": "ip", "image": "a", "encoder": "e"})[0].encoder == "e"
    with pytest.raises(ValueError, match=r"image_prompt must be \(adapter, image\)"):
        options.image_prompts("ip")


def test_a_request_keeps_them_and_asks_for_them_again(tmp_path) -> None:
    seen = tmp_path / "room.png"
    seen.write_bytes(b"")
    image = Source(path=str(seen), sha256="s")
    request = Request(
        lora=(Lora(path="a", hash="1", weight=0.5),),
        words=(Word(path="w", hash="2", word="sks"),),
        control=(Control(path="net", hash="3", image=image, hint="canny", weight=0.7, start=0.1, end=0.6),),
        image_prompt=(ImagePrompt(path="ip", hash="4", image=image, weight=0.4),),
        **PLAIN,
    )
    back = Request.from_json(request.to_json())
    assert back == request and "lora" not in Request(**PLAIN).to_json()
    again = options.again(back)
    assert again["lora"] == [("a", 0.5)] and again["words"] == {"sks": "w"}
    assert (
        options.control(again["control"])[0].end == 0.6
        and options.image_prompts(again["image_prompt"])[0].weight == 0.4
    )
    changed = Request(**PLAIN, lora=(Lora(path="a", hash="9", weight=0.5),))
    with pytest.raises(ValueError, match="a has changed since: it is not what this was made with"):
        options.check_again(Request(**PLAIN, lora=request.lora), changed)


def test_the_command_line() -> None:
    assert adapted.loras(["a.safetensors:0.8", "b.safetensors"]) == [("a.safetensors", 0.8), ("b.safetensors", 1.0)]
    assert adapted.weighted("C:/style") == ("C:/style", 1.0) and adapted.loras(None) is None
    assert adapted.words(["sks=a", "it=b"]) == {"sks": "a", "it": "b"} and adapted.words(["a"]) == ["a"]
    asked = adapted.shown(["owner/net=room.png:0.5"], "control", "model", hint="canny")
    assert asked == [{"model": "owner/net", "image": "room.png", "weight": 0.5, "hint": "canny"}]
    with pytest.raises(ValueError, match="--control is 'net'; it must be MODEL=PICTURE"):
        adapted.shown(["net"], "control", "model")
    with pytest.raises(ValueError, match="--hint needs --control"):
        adapted.shown(None, "control", "model", hint="canny")
    with pytest.raises(ValueError, match="--word is WORD=FILE for all of them"):
        adapted.words(["sks=a", "b"])
