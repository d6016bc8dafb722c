"""Pages: who holds them, which are shared, which go first."""

from __future__ import annotations

import numpy as np

from services.csm.engine.pages import PagePool, page_hashes
from services.csm.model.config import PAGE
from services.csm.request.prompt import NO_TEXT, Prompt


def frames_prompt(positions: int, seed: int = 0) -> Prompt:
    codes = np.random.default_rng(seed).integers(0, 512, (positions, 8))
    return Prompt(np.full(positions, NO_TEXT), codes)


def hashes_of(*letters: str) -> list[bytes]:
    return [letter.encode() for letter in letters]


def test_names_are_of_full_pages_and_of_all_before_them():
    prompt = frames_prompt(3 * PAGE - 1)
    hashes = page_hashes(prompt)
    assert len(hashes) == 2
    assert page_hashes(Prompt(prompt.text[: 2 * PAGE], prompt.codes[: 2 * PAGE])) == hashes
    changed = Prompt(prompt.text, prompt.codes.copy())
    changed.codes[3, 7] += 1
    assert not set(page_hashes(changed)) & set(hashes), "what follows a change is another content"
    changed = Prompt(prompt.text, prompt.codes.copy())
    changed.codes[PAGE, 0] += 1
    assert page_hashes(changed)[0] == hashes[0]
    assert page_hashes(changed)[1] != hashes[1]


def test_a_text_token_is_not_a_frame():
    frames = frames_prompt(PAGE)
    text = Prompt(np.zeros(PAGE, np.int64), frames.codes)
    assert page_hashes(frames) != page_hashes(text)


def test_names_go_on_from_a_page():
    prompt = frames_prompt(3 * PAGE)
    hashes = page_hashes(prompt)
    rest = Prompt(prompt.text[PAGE:], prompt.codes[PAGE:])
    assert page_hashes(rest, hashes[0]) == hashes[1:]


def test_pages_run_out_and_come_back():
    pool = PagePool(4)
    taken = pool.allocate(3)
    assert taken is not None
    pages, found = taken
    assert (len(set(pages)), found, pool.used) == (3, 0, 3)
    assert pool.allocate(2) is None
    assert pool.used == 3, "what cannot be had whole is not taken in part"
    pool.free(pages)
    assert (pool.used, pool.cached) == (0, 0)
    assert pool.allocate(4) is not None


def test_named_pages_are_found_shared_and_freed_once_all_have_left():
    pool = PagePool(4)
    first, _ = pool.allocate(2) or ([], 0)
    for page, page_hash in zip(first, hashes_of("a", "b"), strict=True):
        pool.cache(page, page_hash)
    second, found = pool.allocate(3, hashes_of("a", "b", "c")) or ([], 0)
    assert (second[:2], found) == (first, 2)
    assert pool.used == 3
    pool.free(first)
    assert pool.used == 3
    pool.free(second)
    assert (pool.used, pool.cached) == (0, 2)
    third, found = pool.allocate(1, hashes_of("a")) or ([], 0)
    assert (third, found, pool.cached) == (first[:1], 1, 1)


def test_a_prefix_is_found_only_from_its_start():
    pool = PagePool(4)
    pages, _ = pool.allocate(2) or ([], 0)
    pool.cache(pages[1], b"b")
    pool.free(pages)
    assert (pool.allocate(2, hashes_of("a", "b")) or ([], -1))[1] == 0


def test_the_longest_unused_pages_go_first_and_of_a_prompt_its_end():
    pool = PagePool(4)
    for letters in (("a", "b"), ("x", "y")):
        pages, _ = pool.allocate(2) or ([], 0)
        for page, page_hash in zip(pages, hashes_of(*letters), strict=True):
            pool.cache(page, page_hash)
        pool.free(pages)
    assert pool.cached == 4
    held, _ = pool.allocate(1) or ([], 0)
    assert pool.cached == 3
    pages, found = pool.allocate(2, hashes_of("a", "b")) or ([], 0)
    assert found == 1, "b went, a and all of x y stayed"
    assert pool.cached == 1
    pool.free(held)
    pool.free(pages)


def test_pages_found_are_not_counted_as_room_for_others():
    pool = PagePool(2)
    pages, _ = pool.allocate(2) or ([], 0)
    for page, page_hash in zip(pages, hashes_of("a", "b"), strict=True):
        pool.cache(page, page_hash)
    pool.free(pages)
    assert pool.allocate(3, hashes_of("a", "b")) is None
    assert (pool.used, pool.cached) == (0, 2)


def test_a_cleared_cache_finds_nothing():
    pool = PagePool(2)
    held, _ = pool.allocate(1) or ([], 0)
    kept, _ = pool.allocate(1) or ([], 0)
    pool.cache(held[0], b"a")
    pool.cache(kept[0], b"b")
    pool.free(kept)
    pool.clear_cache()
    assert pool.cached == 0
    for page_hash in (b"a", b"b"):
        pages, found = pool.allocate(1, [page_hash]) or ([], -1)
        assert found == 0
        pool.free(pages)
    pool.free(held)
    assert (pool.used, pool.cached) == (0, 0)


def test_random_use_never_gives_a_writable_page_to_two_holders():
    rng, pool = np.random.default_rng(0), PagePool(12)
    held: list[tuple[list[int], int]] = []
    serial = refused = 0
    for _ in range(3000):
        if held and rng.random() < 0.5:
            pages, _ = held.pop(int(rng.integers(len(held))))
            pool.free(pages)
            continue
        count, stem = int(rng.integers(1, 5)), f"s{rng.integers(6)}"
        hashes = [f"{stem}.{i}".encode() for i in range(int(rng.integers(0, count + 1)))]
        taken = pool.allocate(count, hashes)
        if taken is None:
            refused += 1
            assert count > 12 - pool.used - len(hashes)
            continue
        pages, found = taken
        writable = set(pages[found:])
        assert not writable & {page for others, _ in held for page in others}
        for page, page_hash in zip(pages, hashes, strict=False):
            pool.cache(page, page_hash)
        held.append((pages, len(hashes)))
        serial += 1
        assert pool.used == len({page for others, _ in held for page in others})
    for pages, _ in held:
        pool.free(pages)
    assert serial > 500
    assert refused > 50
    assert pool.used == 0
