"""Measurements of what the house promises. Each figure says on which machine it was taken."""
