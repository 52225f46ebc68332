"""One file per wire format: a pure codec and a thin transport."""
