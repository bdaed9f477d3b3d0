"""Training objectives, one a file, known by name: what a prediction is compared with, and what keeps latents apart."""
