"""A picture from text with the model that ships inside, saved with its whole request in it."""

import mediagen

picture = mediagen.image("a red balloon in a blue sky with clouds", seed=3)
picture.save("balloon.png")
print(picture.size, "saved as balloon.png; `mediagen show balloon.png` prints how it was made")
print("made again, pixel for pixel:", mediagen.replay("balloon.png").equal)
