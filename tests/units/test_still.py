"""Words of motion are left out of what a model of pictures is asked for."""

import pytest

from mediagen.pipelines.still import still


@pytest.mark.parametrize(
    ("prompt", "picture"),
    [
        ("a fox hops to the left in a forest", "a fox in a forest"),
        ("the camera pans left past a pineapple at night", "a pineapple at night"),
        ("a duck under the sea, the camera zooms in", "a duck under the sea"),
        ("a short video of a duck diving downwards and a key moving up", "a duck and a key"),
        ("a ship sails right and out of the picture quickly", "a ship"),
        ("a rocket slowly flies down on a table", "a rocket on a table"),
        ("a running shoe leaves the picture to the left", "a running shoe"),
        ("leaves on a table", "leaves on a table"),
        ("a castle stands still and a burger moves from right to left", "a castle and a burger"),
        ("a cat left of a pizza", "a cat left of a pizza"),
        ("moving", "moving"),
        ("the camera pans to the right over a house", "a house"),
        ("the camera orbits a chair", "a chair"),
        ("the camera slowly circles around a tree", "a tree"),
        ("a boat at night while the camera zooms out", "a boat at night"),
    ],
)
def test_a_prompt_without_motion(prompt: str, picture: str) -> None:
    assert still(prompt) == picture
