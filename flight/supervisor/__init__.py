"""Starts, watches and restarts core and engine; boot and reset counters; safe mode; the outer watchdog's feed.

Small on purpose, standard library only: what keeps the others alive must have little that can break.
"""
