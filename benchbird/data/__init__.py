"""Finding, decoding, caching and checking images with their masks."""
