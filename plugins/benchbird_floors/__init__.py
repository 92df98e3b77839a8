"""Floors: what signal processing finds without a network. Whatever can't beat it has learnt nothing."""
