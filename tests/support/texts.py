"""Texts as a reader sees them, however they were wrapped."""


def unspaced(text: str) -> str:
    return " ".join(text.split())
