"""How many bytes have passed over all connections of one kind."""


class Traffic:
    """The bytes that were read, and those that were written."""

    __slots__ = ("received_bytes", "sent_bytes")

    def __init__(self) -> None:
        self.received_bytes = self.sent_bytes = 0
