"""What there is to learn from: pictures and labels, and what makes more of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data import Pictures
from models.datasets.views import Views
from models.labels import LabelSet
from models.training.teacher import Beliefs


@dataclass(frozen=True)
class Material:
    """The pictures of a run, of which the split `train` is learnt from, and their labels.

    `backgrounds` uint8 (M, H, W, 3) are put behind products; `beliefs` are learnt beside the
    labels; `views` take the place of the street garments among the pictures.
    """

    pictures: Pictures
    label_set: LabelSet
    backgrounds: NDArray[np.uint8] | None = None
    beliefs: Beliefs | None = None
    views: Views | None = None
