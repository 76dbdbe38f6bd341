"""`just calibrate`: what a model is like, for the strategy that chooses strategies."""
