"""The catalogue: all pictures that `python -m samples.draw` draws."""

from samples import scenes
from samples.catalogue.accessories import ACCESSORIES, FOOTWEAR
from samples.catalogue.clothes import DRESSES_AND_LOWERS, UPPERS
from samples.catalogue.picture import Picture

NO_GARMENTS = [
    Picture("fruit_bowl.jpg", "", "", scenes.fruit_bowl),
    Picture("house_and_tree.jpg", "", "", scenes.house),
    Picture("cat.jpg", "", "", scenes.cat),
    Picture("car.jpg", "", "", scenes.car),
    Picture("mountain_lake.jpg", "", "", scenes.landscape),
]
PICTURES = [*UPPERS, *DRESSES_AND_LOWERS, *FOOTWEAR, *ACCESSORIES, *NO_GARMENTS]

__all__ = ["NO_GARMENTS", "PICTURES", "Picture"]
