"""What brings a state back to the surface."""
