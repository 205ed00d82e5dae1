"""The id of the last item of each channel that came in sequence.

Specification: publishing.md 7; grip-http.md 7.3. The sequencer sets them where items come in, the
hub as released items come by; in one process these are the same. A channel has one only while
it is subscribed, and None stands for an id that is unknown.
"""

from collections import OrderedDict

LIMIT = 1_000_000  # channels; as Pushpin


class LastIds:
    """Channels and their last ids; of too many the one set longest ago goes."""

    __slots__ = ("_ids", "_limit")

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        # Not a plain dict: its first key is found ever more slowly as the ones before it go.
        self._ids: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    def get(self, channel: str) -> str | None:
        """Return the last id of a channel, None if it is unknown."""
        return self._ids.get(channel)

    def set(self, channel: str, item_id: str) -> None:
        """Remember the last id of a channel."""
        ids = self._ids
        ids[channel] = item_id
        ids.move_to_end(channel)
        if len(ids) > self._limit:
            ids.popitem(last=False)

    def forget(self, channel: str) -> None:
        """Make the last id of a channel unknown."""
        self._ids.pop(channel, None)

    def clear(self) -> None:
        """Make all last ids unknown."""
        self._ids.clear()
