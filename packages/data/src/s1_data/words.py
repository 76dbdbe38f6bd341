"""Words to spell: ordinary English ones and pseudo-words with doubled letters."""

from __future__ import annotations

from random import Random

_ENGLISH = """
apple bread chair dance eagle fable grape honey igloo jelly knife lemon mango night ocean paper
queen river sheep table uncle valley water yacht zebra alley berry cabin daisy ember fancy
giant happy index juice koala lunch magic noble onion piano quiet robot salad tiger under vivid
wagon young acorn beach cello dozen error ferry glass hobby jolly kitty llama merry nanny otter
puppy rally silly teeth upper villa wheel arrow bunny cocoa daddy fluff banana bottle butter
button canoe carrot castle cheese cherry cotton dinner dragon effort engine fabric flower
forest garden ginger hammer hollow island jacket jungle kettle kitten ladder letter little
marble meadow middle mirror mitten narrow needle office orange parrot pebble pepper pillow
planet pocket puzzle rabbit ribbon rocket saddle school settle silver summer sunset tennis
tunnel turtle velvet violin voyage walnut willow window winter wizard yellow zipper battle
bubble cattle coffee copper follow gallop goggle happen lesson mammal nettle paddle puddle
raffle ripple rubber ruffle sorrow supper tattoo terror tomato wallow account address balloon
barrier blossom buffalo cabbage caramel channel chimney college command correct costume cottage
current diamond disease dolphin eclipse effects elegant emerald feather fiction freedom gallery
giraffe glacier grammar granite harbour harness highway horizon hundred jewelry journey kingdom
ladybug lantern leopard library lobster mammoth massage missile monster mustard narrate necktie
network nothing october officer oatmeal opossum orchard ostrich passage pattern penguin picture
popcorn possess process pyramid quarrel rainbow raccoon sausage scissor session shelter shuttle
spinach squeeze success sunrise swallow teacher thunder traffic trumpet tobacco unicorn vanilla
village volcano warrior weather whistle whisper zealous assess embassy accuracy addition
airplane alphabet approach avocado backpack baseball basement bassoon blizzard broccoli
building business calendar campfire cardinal carriage cathedral cinnamon cocktail coconut
commerce computer concrete corridor creature crescent daffodil darkness daughter december
dinosaur disallow distance doorbell election elephant envelope espresso eyeglass february
football fortress fraction geometry goldfish graffiti hallway hamburger hospital icecream
illusion immature innocent jealousy keyboard kangaroo lavender lemonade magazine magnetic
mandarin marathon marigold mattress mermaid midnight mosquito mountain mushroom necklace
notebook november opposite organism painting parallel password peaceful platypus porridge
positive possible princess pumpkin question raindrop reindeer sandwich scissors seahorse
shoulder skeleton snowball spaghetti squirrel staircase strawberry sunflower swimming syllable
tangerine teaspoon telescope terrific thousand tomorrow tortoise treasure triangle umbrella
vacation vertebra volleyball waterfall watermelon weekend whirlpool woodpecker adventure
alligator apartment asparagus astronaut attention barracuda beginning blackberry blueberry
bumblebee butterfly cafeteria caterpillar challenge chocolate cinema classroom clarinet
cranberry crocodile dandelion democracy dictionary different education eggplant electricity
encyclopedia evergreen excellent expression fireplace furniture gooseberry grasshopper
greenhouse happiness harmonica helicopter hippopotamus honeycomb hummingbird imagination
impossible innovation invisible jellyfish kindergarten knowledge landscape lighthouse
loganberry macaroni marshmallow mathematics mayonnaise microphone millennium mississippi
moonlight motorcycle mulberry newspaper nightingale occurrence orchestra paragraph parliament
peppermint photograph pineapple porcupine professor programme quicksand raspberry recommend
refrigerator restaurant rhinoceros roadrunner satellite saxophone scarecrow september signature
skyscraper spectacular submarine successful suggestion surprise temperature tennessee terrarium
toothbrush tournament typewriter underground university vegetable vocabulary wheelbarrow
wilderness xylophone yesterday zookeeper
"""
WORDS = tuple(_ENGLISH.split())
VOWELS = "aeiou"
_CONSONANTS = "bcdfghjklmnpqrstvwxyz"
_BY_LENGTH = {
    length: tuple(word for word in WORDS if len(word) == length) for length in range(4, 13)
}


def draw_word(rng: Random, length: int) -> str:
    """Draw a word of `length` letters, as often an English one as an invented one."""
    known = _BY_LENGTH.get(length, ())
    return rng.choice(known) if known and rng.random() < 0.5 else _invent(rng, length)


def _invent(rng: Random, length: int) -> str:
    vowels = rng.sample(VOWELS, 2)
    consonants = rng.sample(_CONSONANTS, rng.randint(2, 4))
    letters: list[str] = []
    while len(letters) < length:
        letters += rng.choice(consonants) * rng.choice((1, 1, 2)) + rng.choice(vowels)
    return "".join(letters[:length])
