"""What moves the controls."""
