"""A short, always equal run of the decoder's fuzzing; the long one is `tests.inputs.fuzz`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.inputs.mutations import check_decoding, mutated
from tests.unit.drawn import MARKS

pytestmark = MARKS


@pytest.mark.timeout(240)
@settings(
    max_examples=600,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(mutated())
def test_a_changed_file_is_a_picture_or_has_a_known_code(data: bytes) -> None:
    check_decoding(data)
