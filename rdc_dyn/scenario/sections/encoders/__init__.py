"""Sections of the family of this name, one file each; whatever stands here is a member."""
