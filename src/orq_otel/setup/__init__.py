"""Set everything up with one call: `configure`, and where it sends spans."""
