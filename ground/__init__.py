"""What stays: station, archive, HTTP API, console, command line."""
