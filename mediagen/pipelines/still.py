"""What of a prompt for a clip a picture can show: words of motion and of the camera are left out.

A model of pictures draws what it reads of: a camera, two frogs where one hops.
"""

import re

VERBS = (
    "bounces comes crawls descends disappears dives drifts drives drops enters fades falls flies floats "
    "gets glides goes grows hops jumps moves passes pops rides rises rolls rotates runs sails shakes "
    "shrinks sinks slides spins stands stays sways swims tilts trembles turns vanishes walks wiggles "
    "appears becomes"
)
DOUBLED = ("drop", "get", "hop", "pop", "run", "spin", "swim")  # their last letter, in participles
WAYS = (
    r"(?:from|to) (?:the )?(?:left|right)(?: to (?:left|right))?|(?:diagonally )?(?:up|down) and to the (?:left|right)|"
    r"up and down|round and round|from side to side|to and fro|to show all its sides|like on a turntable|"
    r"side to side|upwards?|downwards?|up|down|left|right|along|around(?: itself)?|round|away|"
    r"(?:counter)?clockwise|in a (?:high )?(?:straight line|circle|arc)|at the (?:top|bottom)|until it is gone"
)
RESULTS = (
    r"(?:and )?out of the picture|into the picture|into view|in from (?:the (?:left|right)|above|below)|"
    r"from (?:above|below)|out|still|bigger|larger|smaller|where it is|in place|on the spot|"
    r"but (?:stays|staying) where it is"
)
OTHERS = "does not move|not moving|leav(?:es|ing) the picture|rock(?:s|ing) from"  # leaves and rocks are things, too
PACE = r"(?:slowly|quickly|fast|suddenly)"
CAMERA = (
    r"^(?:an? )?(?:short )?(?:video|clip) of ",
    r"^the camera (?:slowly |quickly )?(?:orbits|circles|follows|shows|tracks) (?:around )?",
    r"^(?:the camera|panning|zooming|circling|orbiting)[^,]*?"
    r"(?: past | in on | into | closer to | towards? | out from | away from | around | over | across | along |, )",
    r"(?:,| while| as| and) the camera [^,]*$",
)


def _participle(verb: str) -> str:
    """flies -> flying, drives -> driving, hops -> hopping."""
    if verb.endswith("ies"):
        return f"{verb[:-3]}ying"
    base = verb[:-2] if verb.endswith(("sses", "goes", "shes")) else verb[:-1]
    base = base[:-1] if base.endswith("e") else base + base[-1] if base in DOUBLED else base
    return f"{base}ing"


def _deeds() -> re.Pattern[str]:
    """A verb of motion with what belongs to it. A participle right after an article is a part of a name: a running
    shoe."""
    going = "|".join(map(_participle, VERBS.split()))
    verb = rf"(?:{OTHERS}|{VERBS.replace(' ', '|')}|(?<!\ba )(?<!\ban )(?<!\bthe )(?:{going}))"
    return re.compile(rf"(?:\b{PACE} )?\b{verb}\b(?: (?:{WAYS}|{RESULTS}|{PACE})\b)*", re.IGNORECASE)


DEEDS = _deeds()


def still(prompt: str) -> str:
    """The prompt without motion: "a fox hops to the left in a forest" -> "a fox in a forest"; as it is if nothing would
    be left of it."""
    text = prompt
    for phrase in CAMERA:
        text = re.sub(phrase, "", text, flags=re.IGNORECASE)
    text = re.sub(r"\s+", " ", DEEDS.sub("", text)).replace(" ,", ",").strip(" ,")
    return text or prompt
