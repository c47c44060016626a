"""Every name in prose exists: `passages` finds the prose, `known` what there is, `rules` compare the two."""
