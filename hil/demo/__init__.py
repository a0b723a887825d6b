"""The demo: a scenario's questions to orbit and back, shown live, told in a table, a figure and a JSON document."""
