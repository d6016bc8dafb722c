"""Draws have the distribution that was asked for."""

from __future__ import annotations

import torch

from services.csm.model.sampling import draw, frame_keys, gumbel_noise, scramble

ROWS = 40_000


def draws(logits: torch.Tensor, *, temperature: float, top_k: int, widest: int | None = None) -> torch.Tensor:
    """Shares of the codes in ROWS draws, each of a seed of its own."""
    keys = frame_keys(torch.arange(ROWS), torch.zeros(ROWS, dtype=torch.int64), 1)[:, 0]
    codes = draw(
        logits.expand(ROWS, -1),
        keys,
        torch.full((ROWS,), temperature),
        torch.full((ROWS,), top_k),
        widest or top_k,
    )
    return torch.bincount(codes, minlength=logits.numel()) / ROWS


def test_draws_follow_softmax_at_the_temperature():
    logits = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0])
    for temperature in (0.5, 0.9, 2.0):
        shares = draws(logits, temperature=temperature, top_k=5)
        # Five standard deviations of a share of 1/2 in 40,000 draws are 0.0125.
        torch.testing.assert_close(shares, torch.softmax(logits / temperature, 0), atol=0.0125, rtol=0)


def test_top_k_keeps_the_likeliest_and_their_shares():
    logits = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0])
    shares = draws(logits, temperature=1.0, top_k=3)
    kept = torch.softmax(logits[[0, 2, 4]], 0)
    torch.testing.assert_close(shares[[0, 2, 4]], kept, atol=0.0125, rtol=0)
    assert shares[[1, 3]].sum() == 0


def test_a_larger_top_k_in_the_batch_changes_nothing():
    logits = torch.randn(64, generator=torch.Generator().manual_seed(0))
    assert draws(logits, temperature=0.8, top_k=4).equal(draws(logits, temperature=0.8, top_k=4, widest=64))


def test_temperature_zero_takes_the_likeliest():
    shares = draws(torch.tensor([0.0, 3.0, 2.999]), temperature=0.0, top_k=3)
    assert shares[1] == 1.0


def test_rows_of_a_batch_keep_their_own_parameters():
    logits = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
    keys = frame_keys(torch.tensor([1, 2, 3]), torch.tensor([0, 5, 9]), 4)
    temperature, top_k = torch.tensor([0.0, 0.9, 1.7]), torch.tensor([1, 8, 32])
    for codebook in range(4):
        together = draw(logits, keys[:, codebook], temperature, top_k, 32)
        for row in range(3):
            one = slice(row, row + 1)
            k = int(top_k[row])
            assert draw(logits[one], keys[one, codebook], temperature[one], top_k[one], k) == together[row]


def test_noise_is_standard_gumbel_and_finite_everywhere():
    keys = frame_keys(torch.arange(100), torch.zeros(100, dtype=torch.int64), 1)[:, 0]
    noise = gumbel_noise(keys, torch.arange(2048).expand(100, -1))
    assert noise.isfinite().all()
    assert abs(noise.mean() - 0.5772) < 0.015  # Euler's constant; the mean of 204,800 values deviates by 0.003
    assert abs(noise.var() - torch.pi**2 / 6) < 0.03


def test_every_frame_and_codebook_has_noise_of_its_own():
    keys = frame_keys(torch.tensor([7, 7, 8]), torch.tensor([0, 1, 0]), 32)
    assert len(keys.unique()) == 96


def test_scramble_is_splitmix64():
    """First outputs of SplitMix64 from state 0, as published with xoshiro (prng.di.unimi.it/splitmix64.c)."""
    increment = 0x9E3779B97F4A7C15
    states = [(increment * n) % 2**64 for n in (1, 2, 3)]
    signed = torch.tensor([s - 2**64 if s >> 63 else s for s in states])
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [int(value) % 2**64 for value in scramble(signed)] == expected
