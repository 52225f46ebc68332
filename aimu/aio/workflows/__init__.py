"""Workflows: runners made of runners."""
