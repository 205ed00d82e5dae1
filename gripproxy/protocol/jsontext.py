"""JSON as publishers and origins write it.

Strict first; leniently, as publishing.md 4.2 says, only where that fails.
"""

from typing import TypeAlias

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
