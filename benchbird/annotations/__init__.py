"""Boxes in time and frequency that people draw around sounds: as masks, and as files of the programs they use."""
