"""How is a number of things written?"""


def count(number: int, noun: str) -> str:
    """Write a number of things, in the singular where there is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
