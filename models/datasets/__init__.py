"""Data sets: reading, cleaning, splitting, and what a report says of them."""
