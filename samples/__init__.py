"""Small pictures of garments for the demo and the tests, drawn by this project."""
