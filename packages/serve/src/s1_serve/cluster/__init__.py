"""The cluster: overlays rendered, deployed and submitted, through kubectl alone."""
