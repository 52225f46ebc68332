"""What tests of agents need."""
