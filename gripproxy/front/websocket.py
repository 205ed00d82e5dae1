"""An upgraded client connection."""


class Socket:
    """A placeholder until the first frame."""

    def __init__(self, connection: object, early: bytes) -> None:
        raise NotImplementedError
