"""The campaign: thousands of faults, each in every arm, scored against what the undamaged model says.

`plan` says what is injected, `lane` how one fault is run, `outcome` what came of it, `runner` does it all on Dask,
`results` keeps the rows, `report` tells them.
"""
