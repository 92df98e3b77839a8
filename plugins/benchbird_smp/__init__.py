"""Segmenters whose decoders are segmentation-models-pytorch's, one a file."""
