# SPDX-License-Identifier: Apache-2.0
"""The demo's text: short scenes in plain English, each with a sound and a faulty continuation.

Written for this project; nothing is taken from elsewhere. A scene is drawn first (who, which animal, where, weather,
...), then a prompt that tells it, then two continuations: the chosen one agrees with the scene and is civil, the
rejected one has exactly one fault (wrong person, wrong place, wrong colour, wrong animal, wrong weather, rude, cut
short, repeating itself).

Hold-out: the hero, the pet's name and the place are the scene's key; all three stand in every prompt. One key in eight
is held out by a hash (`is_held_out`), so a held-out prompt cannot occur in training, nor can its scene.
"""

import dataclasses
import hashlib
import random

HEROES = {
    "she": "Maria Anna Ruth Ines Clara Nora Elsa Hana Lucy Ada Greta Mina Tessa Vera Olga Iris Dora Sana Wendy Paula",
    "he": "Tom Omar Peter Jonas Felix Amir Hugo Oscar Leon Victor Simon Karl Bruno Emil Nils Rafael Yusuf Walter Dan "
    "Max",
}
HERO_GENDER = {name: gender for gender, names in HEROES.items() for name in names.split()}
FRIENDS = (
    "Mr Hill|Mrs Lane|Mr Stone|Mrs Park|old Ben|old Martha|Mr Reed|Mrs Frost|Uncle Joe|Aunt Rosa|Mr Woods|Mrs Bell"
).split("|")
JOBS = "baker farmer teacher sailor doctor painter gardener singer miller carpenter".split()
PETS = "Pip Coco Biscuit Pepper Nutmeg Button Socks Poppy Rusty Daisy Misty Ginger Olive Bramble Clover Toffee".split()
PLACES = (
    "lake market forest beach mill harbour castle garden bridge library station village river hill museum orchard"
).split()
TIMES = "morning afternoon evening".split()
COLOURS = "red blue green yellow white black purple grey".split()
THINGS = "umbrella basket kite hat lamp book coat drum bottle scarf".split()
# mood: what one does in it
MOODS = {
    "happy": "laughed", "sad": "sighed", "tired": "yawned", "proud": "smiled", "afraid": "trembled", "angry": "frowned",
}  # fmt: skip

# animal: (what it eats, where it sleeps, what it does)
ANIMALS = {
    "dog": ("meat", "in a basket by the door", "barked"),
    "cat": ("fish", "on a soft cushion", "purred"),
    "rabbit": ("carrots", "in a dry hutch", "hopped"),
    "horse": ("hay", "in a warm stable", "trotted"),
    "duck": ("corn", "in a nest near the water", "quacked"),
    "goat": ("leaves", "in a small shed", "bleated"),
    "parrot": ("seeds", "on a high perch", "whistled"),
    "mouse": ("cheese", "in a box of straw", "squeaked"),
}

# weather: (adjective of the day, a sentence's end that only this weather allows)
WEATHER = {
    "rainy": "the rain ran down the windows",
    "snowy": "the snow lay deep on the path",
    "sunny": "the sun shone on the roofs",
    "windy": "the wind shook the trees",
    "foggy": "the fog hid the houses",
    "stormy": "the thunder rolled over the fields",
}


@dataclasses.dataclass(frozen=True)
class Scene:
    hero: str
    friend: str
    job: str
    animal: str
    pet: str
    place: str
    time: str
    weather: str
    colour: str
    thing: str
    mood: str

    @property
    def key(self):
        return f"{self.hero}|{self.pet}|{self.place}"

    def words(self):
        """What the templates may name."""
        she = HERO_GENDER[self.hero] == "she"
        food, bed, sound = ANIMALS[self.animal]
        return dataclasses.asdict(self) | {
            "they": "she" if she else "he",
            "They": "She" if she else "He",
            "their": "her" if she else "his",
            "them": "her" if she else "him",
            "food": food,
            "bed": bed,
            "sound": sound,
            "acted": MOODS[self.mood],
            "sky": WEATHER[self.weather],
            "friend_first": self.friend[0].upper() + self.friend[1:],
        }


OPENINGS = (
    "One {weather} {time} {hero} took {their} {animal} {pet} to the {place}.",
    "{hero} had a {animal} called {pet}. On a {weather} {time} they went to the {place}.",
    "It was a {weather} {time} at the {place}. {hero} was there with {pet}, a young {animal}.",
    "{pet} the {animal} lived with {hero} near the {place}. The {time} was {weather}.",
    "Every {weather} {time} {hero} and {their} {animal} {pet} walked to the {place}.",
)
DETAILS = (
    "{hero} carried a {colour} {thing}.",
    "There {they} met {friend}, the {job}.",
    "{hero} was {mood}.",
    "In {their} hands was a {colour} {thing}.",
    "{friend_first}, the {job}, was waiting for {them}.",
)
DETAIL_FIELDS = (("colour", "thing"), ("friend", "job"), ("mood",), ("colour", "thing"), ("friend", "job"))

# A way to end a prompt and go on: what is asked, sound replies, and the fields that a reply names. `needs`: a detail
# that the prompt must have told before.
TALE_ENDINGS = (
    ("friend", " {friend_first} waved and said: \"Good {time}, {hero}! How is {pet} today?\""),
    ("friend", " The {job} smiled at {pet}. \"What a fine {animal} you have, {hero},\" said {friend}."),
    ("friend", " {hero} thanked {friend} and went home with {pet}. It had been a good day at the {place}."),
    ("colour", " {hero} put the {colour} {thing} on the ground, and {pet} {sound} with joy."),
    ("colour", " Then {pet} ran away with the {colour} {thing}. {hero} laughed and ran after the {animal}."),
    ("mood", " {They} {acted} and sat down near the {place}. {pet} the {animal} sat next to {them}."),
    (None, " {pet} {sound}, for {sky}. \"Let us go home,\" said {hero}."),
    (None, " Soon {sky}, and {hero} gave {pet} some {food}. The {animal} was hungry."),
    (None, " {hero} looked at the {place} for a long time. Then {pet} {sound}, and they both went home."),
)
QUESTIONS = (
    (None, "Where was {hero}?", (" {hero} was at the {place}.", " At the {place}, with {pet}."), ("place",)),
    (None, "Who came with {hero}?",
     (" {pet} the {animal} came with {them}.", " {hero} came with a {animal} called {pet}."), ("animal", "pet")),
    (None, "What was the weather like?",
     (" It was a {weather} {time}.", " It was {weather}, and {sky}."), ("weather",)),
    (None, "What does {pet} eat?",
     (" {pet} is a {animal}, so {pet} eats {food}.", " {pet} likes {food}, as every {animal} does."), ("animal",)),
    (None, "Where does {pet} sleep?", (" A {animal} sleeps {bed}.", " {pet} sleeps {bed}."), ("animal",)),
    ("colour", "What did {hero} carry?",
     (" {They} carried a {colour} {thing}.", " It was a {colour} {thing}."), ("colour", "thing")),
    ("friend", "Whom did {hero} meet?",
     (" {They} met {friend}, the {job}.", " {hero} met {friend} at the {place}."), ("friend",)),
    ("mood", "How did {hero} feel?", (" {hero} was {mood}.", " {They} was {mood}, and {they} {acted}."), ("mood",)),
)
REQUESTS = (
    ("{hero} asked {friend}, the {job}: \"Can you help me to find {pet}?\" {friend_first} said:",
     (" \"Of course, {hero}. Let us look near the {place} together.\"",
      " \"With pleasure. A {animal} cannot be far away, {hero}.\"")),
    ("\"Is this your {colour} {thing}?\" asked {friend}, the {job}. {hero} answered:",
     (" \"Yes, thank you! I left the {colour} {thing} at the {place}.\"",
      " \"How kind of you, {friend}. Yes, it is mine.\"")),
    ("\"May I give {pet} some {food}?\" asked {friend}, the {job}. {hero} answered:",
     (" \"Please do. My {animal} loves {food}.\"", " \"Thank you, {friend}, {pet} would like that very much.\"")),
)
RUDE = (
    " \"Go away, {hero}. I do not care about your {animal}.\"",
    " \"Be quiet! What a stupid question.\"",
    " \"No. Leave me alone, and take that ugly {animal} with you.\"",
    " \"That is not my problem. You are a fool.\"",
)
RUDE_ANSWERS = (" That is a stupid question.", " I do not care about {hero}.", " Read it again, you fool.")
CUT_SHORT = (" The end.", " And then.", " I do not know.", " Nothing.")

VALUES = {
    "hero": list(HERO_GENDER), "friend": FRIENDS, "job": JOBS, "animal": list(ANIMALS), "pet": PETS, "place": PLACES,
    "time": TIMES, "weather": list(WEATHER), "colour": COLOURS, "thing": THINGS, "mood": list(MOODS),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Pair:
    prompt: str
    chosen: str
    rejected: str
    fault: str  # what is wrong with `rejected`
    scene: Scene


def is_held_out(key):
    return hashlib.sha256(key.encode()).digest()[0] % 8 == 0


def draw_scene(rng):
    return Scene(**{field: rng.choice(values) for field, values in VALUES.items()})


def _alter(rng, scene, field):
    """The scene with another value in one field."""
    return dataclasses.replace(scene, **{field: rng.choice([v for v in VALUES[field] if v != getattr(scene, field)])})


def _tell(rng, scene, needs):
    """Opening and details; the detail that introduces `needs` is always among them."""
    indexes = [i for i, fields in enumerate(DETAIL_FIELDS) if needs is None or needs in fields]
    picked = [rng.choice(indexes)]
    if rng.random() < 0.5:
        others = [i for i, fields in enumerate(DETAIL_FIELDS) if fields != DETAIL_FIELDS[picked[0]]]
        picked.append(rng.choice(others))
        rng.shuffle(picked)
    sentences = [rng.choice(OPENINGS)] + [DETAILS[i] for i in picked]
    return " ".join(sentences).format(**scene.words())


def _wrong_fact(rng, scene, template, fields):
    """The reply as if one fact of the scene were another; the fact's name."""
    named = [f for f in fields if "{" + f in template or f in ("animal", "weather", "mood")]
    for field in rng.sample(named, len(named)):
        words = _alter(rng, scene, field).words()
        if template.format(**words) != template.format(**scene.words()):
            return template.format(**words), f"wrong {field}"
    return None, None


def _faulty(rng, scene, replies, chosen, fields, rude):
    """A reply with one fault, from the sound replies or a stock phrase."""
    kind = rng.choices(("fact", "rude", "short", "repeat"), (6, 2, 1, 1))[0]
    if kind == "fact":
        text, fault = _wrong_fact(rng, scene, rng.choice(replies), fields)
        if text is not None and text != chosen:
            return text, fault
        kind = "rude"
    if kind == "rude":
        return rng.choice(rude).format(**scene.words()), "rude"
    if kind == "short":
        return rng.choice(CUT_SHORT), "cut short"
    return chosen + chosen, "repeats itself"


def draw_pair(rng, scene):
    """A prompt about the scene with a sound and a faulty continuation."""
    words = scene.words()
    kind = rng.choices(("tale", "question", "request"), (4, 4, 2))[0]
    if kind == "tale":
        needs, template = rng.choice(TALE_ENDINGS)
        prompt = _tell(rng, scene, needs)
        replies = [text for need, text in TALE_ENDINGS if need == needs]
        chosen = template.format(**words)
        fields = ("hero", "pet", "animal", "weather", "mood") + ((needs,) if needs else ())
        rejected, fault = _faulty(rng, scene, replies, chosen, fields, RUDE)
    elif kind == "question":
        needs, question, replies, fields = rng.choice(QUESTIONS)
        prompt = _tell(rng, scene, needs) + "\nQuestion: " + question.format(**words) + "\nAnswer:"
        chosen = rng.choice(replies).format(**words)
        rejected, fault = _faulty(rng, scene, replies, chosen, fields, RUDE_ANSWERS)
    else:
        request, replies = rng.choice(REQUESTS)
        opening = rng.choice(OPENINGS)
        prompt = (opening + " " + request).format(**words)
        chosen = rng.choice(replies).format(**words)
        rejected, fault = _faulty(rng, scene, replies, chosen, ("hero", "animal", "place", "colour"), RUDE)
    return Pair(prompt, chosen, rejected, fault, scene)


def pairs(seed, held_out):
    """Endless pairs of held-out scenes, or of all the others; the same for the same seed."""
    rng = random.Random(seed)
    while True:
        scene = draw_scene(rng)
        pair = draw_pair(rng, scene)
        if is_held_out(scene.key) == held_out:
            yield pair
