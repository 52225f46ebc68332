"""Weights in this process."""
