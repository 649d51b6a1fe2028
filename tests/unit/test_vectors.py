"""Vectors as text: short, and the very numbers that the column keeps."""

from __future__ import annotations

import numpy as np
import pytest

from worker.vectors import vector_text


@pytest.mark.parametrize("seed", range(3))
def test_the_text_is_the_vector_in_half_precision(seed: int) -> None:
    vector = np.random.default_rng(seed).normal(size=256).astype(np.float32)
    vector /= np.linalg.norm(vector)
    text = vector_text(vector)
    assert (text[0], text[-1]) == ("[", "]")
    read = np.array(text[1:-1].split(","), dtype=np.float64)
    assert (read.astype(np.float16) == vector.astype(np.float16)).all()


def test_each_half_precision_number_has_a_text_of_its_own() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    numbers = bits[np.isfinite(bits)].astype(np.float32)
    read = np.array(vector_text(numbers)[1:-1].split(","), dtype=np.float64).astype(np.float16)
    assert (read == numbers.astype(np.float16)).all()
