"""What keeps an image from being built."""


class BuildError(Exception):
    """An image cannot be built, in words for who runs the command."""
