"""Sections that build themselves: a module is a family, or a folder in which whatever stands is a member."""
