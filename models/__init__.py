"""What looks at a picture: labels, transforms, networks, training and prediction."""
