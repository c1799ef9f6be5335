"""The comparison runner: starts treadle and its peers in turn, loads them, and reports ratios."""
