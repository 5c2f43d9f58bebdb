"""Descriptions that several correctors share."""

BATCH = "data (of each part) in a minibatch, drawn anew for each step; seeded by seed"
TOLERANCE = "on |grad J|; null: 1e-8 in float64, 1e-4 in float32"
