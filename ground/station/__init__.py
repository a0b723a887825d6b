"""The station: sessions with the spacecraft (sans-I/O) and the UDP shell around them."""
