"""Reward-free play: how it is made, stored, exchanged, and held in memory for training."""
