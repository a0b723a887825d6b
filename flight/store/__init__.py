"""What is kept: the journal of queries and events, and files written whole."""
