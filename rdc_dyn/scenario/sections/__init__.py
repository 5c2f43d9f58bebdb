"""Sections that build themselves: a folder is a family, a file a member."""
