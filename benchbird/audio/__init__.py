"""Audio as this project reads and renders it; no networks and no data sets."""
