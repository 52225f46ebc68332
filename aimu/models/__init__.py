"""What models are: specs, catalogs, model strings."""
