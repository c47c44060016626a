"""The plan of the house: which rooms there are, who imports whom, how large each is; drawn from the code.

`house` reads the code, `storeys` finds a place for each room, `picture` draws and reads pictures.
"""
