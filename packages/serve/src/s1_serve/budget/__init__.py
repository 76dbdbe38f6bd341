"""Budget forcing: a maximum, a minimum and extends on the thinking of one answer."""
