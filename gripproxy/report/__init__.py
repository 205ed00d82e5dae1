"""What the proxy tells about itself: statistics and metrics."""
