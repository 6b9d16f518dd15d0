"""Sets of global transaction ids as MySQL writes them, such as `3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:11`."""

import re

_INTERVAL = re.compile(r"([0-9]+)(?:-([0-9]+))?")


def joined(*sets: str) -> str:
    """Return a text that the server reads as the union of these sets."""
    return ",".join(each for each in sets if each)


def size(gtids: str) -> int:
    """Return how many transactions a set has, as the server writes it: each once."""
    found = (_INTERVAL.fullmatch(word.strip()) for word in re.split("[,:]", gtids))
    return sum(int(one[2] or one[1]) - int(one[1]) + 1 for one in found if one)
