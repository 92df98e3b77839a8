"""Tests of benchbird; the package exists so that they can share factories."""
