"""A benchmark file, read strictly, as the configuration of a run: every fault found, each with its place."""
