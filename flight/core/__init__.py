"""Telecommands in, reports and answers out: the spacecraft's side of the link, and the life of every query."""
