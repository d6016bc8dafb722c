"""Which pages of keys and values are taken, by whom, and what of earlier prompts they still hold.

A page's content is named by a hash of every position up to its end, so two prompts share exactly the full pages of
what they have in common from their start.  Only full pages have a name: nobody writes to them any more, which is why
they can be shared without copies.  Pages that nobody holds but that have a name are kept until they are needed, the
longest unused first.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from services.csm.model.config import PAGE
from services.csm.request.prompt import Prompt

HASH_BYTES = 16
"""128 bits: even a forged collision, which would give a caller the sound of another's context, is out of reach."""


def page_names(prompt: Prompt, name: bytes = b"") -> list[bytes]:
    """Names of the full pages of `prompt`'s positions, which follow the page called `name`."""
    names = []
    texts, frames = prompt.text.astype(np.int32), prompt.codes.astype(np.int32)
    for stop in range(PAGE, len(texts) + 1, PAGE):
        content = name + texts[stop - PAGE : stop].tobytes() + frames[stop - PAGE : stop].tobytes()
        name = hashlib.blake2b(content, digest_size=HASH_BYTES).digest()
        names.append(name)
    return names


class PagePool:
    """Hands out pages 0 to `pages` - 1.  Not thread-safe."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self._free = list(range(pages - 1, -1, -1))
        self._holders = [0] * pages
        self._names: list[bytes | None] = [None] * pages
        self._named: dict[bytes, int] = {}
        self._unused: OrderedDict[int, None] = OrderedDict()  # named, held by nobody, the longest unused first

    @property
    def used(self) -> int:
        """Pages that somebody holds."""
        return self.pages - len(self._free) - len(self._unused)

    @property
    def kept(self) -> int:
        """Pages that nobody holds and whose content may still serve."""
        return len(self._unused)

    def take(self, count: int, names: Sequence[bytes] = ()) -> tuple[list[int], int] | None:
        """Takes `count` pages for a row whose prompt's first pages are called `names`, at most `count` of them.

        Returns:
            The pages in order and how many of them, from the first on, hold the prompt already; or None, and nothing
            is taken, where there are too few.
        """
        found = []
        for name in names[:count]:
            page = self._named.get(name)
            if page is None:
                break
            found.append(page)
        waking = sum(not self._holders[page] for page in found)
        if count - len(found) > len(self._free) + len(self._unused) - waking:
            return None
        for page in found:
            if not self._holders[page]:
                del self._unused[page]
            self._holders[page] += 1
        fresh = [self._fresh() for _ in range(count - len(found))]
        return found + fresh, len(found)

    def name(self, page: int, name: bytes) -> None:
        """Says what a held page, now full, contains.  Where another page has that content already, that one stays."""
        if self._names[page] is None and name not in self._named:
            self._names[page] = name
            self._named[name] = page

    def give_back(self, pages: Sequence[int]) -> None:
        """Ends one holder's hold of `pages`, which are in the order of their positions."""
        # A page is of no use without those before it, so the last ones are to go first.
        for page in reversed(pages):
            self._holders[page] -= 1
            if self._holders[page]:
                continue
            if self._names[page] is None:
                self._free.append(page)
            else:
                self._unused[page] = None

    def forget(self) -> None:
        """Drops all names: what the pages hold is no longer known."""
        self._named.clear()
        self._names = [None] * self.pages
        self._free.extend(self._unused)
        self._unused.clear()

    def _fresh(self) -> int:
        if self._free:
            page = self._free.pop()
        else:
            page, _ = self._unused.popitem(last=False)
            name = self._names[page]
            assert name is not None
            del self._named[name]
            self._names[page] = None
        self._holders[page] = 1
        return page
