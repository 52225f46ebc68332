"""aimu: one interface to language models, agents and workflows; the sync surface."""

__version__ = "0.1.0"
