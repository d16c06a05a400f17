"""VGG-16's convolutions: their ImageNet weights, the features they make of images, and fine-tuning them."""
