"""What can be wrong with a network that somebody names."""


class ModelError(ValueError):
    """A model that can't be built: an unknown name, a shape that it does not take, a file without the function."""
