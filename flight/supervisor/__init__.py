"""Starts, watches and restarts core and its workers; model slots; safe mode; counters; the outer watchdogs' feed.

Small on purpose, no numerics: what keeps the others alive must have little that can break.
"""
