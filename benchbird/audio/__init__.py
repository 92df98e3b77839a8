"""Audio as this project reads and renders it; arrays in and out, no files and no networks."""
