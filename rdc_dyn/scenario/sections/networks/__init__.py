"""Encoders, decoders and classifiers, a file for each architecture."""
