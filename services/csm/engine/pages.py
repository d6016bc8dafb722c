"""The pool of pages of keys and values, with a prefix cache.

A page is what vLLM calls a block.  The content of a full page is identified by a hash of every position up to its end,
so two prompts share exactly the full pages of their common prefix.  A full page is never written again, so it is shared
without copies.  A page that nobody holds stays cached until its memory is needed, least recently used first.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from services.csm.model.config import PAGE
from services.csm.request.prompt import Prompt

HASH_BYTES = 16
"""128 bits put even a forged collision out of reach; it would give a caller the sound of another's context."""


def page_hashes(prompt: Prompt, previous: bytes = b"") -> list[bytes]:
    """Hashes of the full pages of `prompt`'s positions, which follow the page with the hash `previous`."""
    hashes = []
    texts, frames = prompt.text.astype(np.int32), prompt.codes.astype(np.int32)
    for stop in range(PAGE, len(texts) + 1, PAGE):
        content = previous + texts[stop - PAGE : stop].tobytes() + frames[stop - PAGE : stop].tobytes()
        previous = hashlib.blake2b(content, digest_size=HASH_BYTES).digest()
        hashes.append(previous)
    return hashes


class PagePool:
    """Allocates pages 0 to `pages` - 1.  Not thread-safe."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self._free = list(range(pages - 1, -1, -1))
        self._references = [0] * pages
        self._hashes: list[bytes | None] = [None] * pages
        self._by_hash: dict[bytes, int] = {}
        self._cached: OrderedDict[int, None] = OrderedDict()  # cached and not in use, least recently used first

    @property
    def used(self) -> int:
        """Pages that are in use."""
        return self.pages - len(self._free) - len(self._cached)

    @property
    def cached(self) -> int:
        """Pages that are not in use and whose content is cached."""
        return len(self._cached)

    def allocate(self, count: int, hashes: Sequence[bytes] = ()) -> tuple[list[int], int] | None:
        """Allocates `count` pages for a prompt whose first pages have `hashes`, of which at most `count` are used.

        Returns:
            The pages in order, and how many of the first ones hold the prompt already.  None if there are too few
            pages; nothing is allocated then.
        """
        found = []
        for page_hash in hashes[:count]:
            page = self._by_hash.get(page_hash)
            if page is None:
                break
            found.append(page)
        unused = sum(not self._references[page] for page in found)
        if count - len(found) > len(self._free) + len(self._cached) - unused:
            return None
        for page in found:
            if not self._references[page]:
                del self._cached[page]
            self._references[page] += 1
        fresh = [self._allocate_one() for _ in range(count - len(found))]
        return found + fresh, len(found)

    def cache(self, page: int, page_hash: bytes) -> None:
        """Records the content of a page in use that is now full.  Does nothing if another page has that content."""
        if self._hashes[page] is None and page_hash not in self._by_hash:
            self._hashes[page] = page_hash
            self._by_hash[page_hash] = page

    def free(self, pages: Sequence[int]) -> None:
        """Drops one reference to each of `pages`, which are in the order of their positions."""
        # A page is useless without those before it, so the last ones are evicted first.
        for page in reversed(pages):
            self._references[page] -= 1
            if self._references[page]:
                continue
            if self._hashes[page] is None:
                self._free.append(page)
            else:
                self._cached[page] = None

    def clear_cache(self) -> None:
        """Drops all hashes: the content of the pages is no longer known."""
        self._by_hash.clear()
        self._hashes = [None] * self.pages
        self._free.extend(self._cached)
        self._cached.clear()

    def _allocate_one(self) -> int:
        if self._free:
            page = self._free.pop()
        else:
            page, _ = self._cached.popitem(last=False)
            page_hash = self._hashes[page]
            assert page_hash is not None
            del self._by_hash[page_hash]
            self._hashes[page] = None
        self._references[page] = 1
        return page
