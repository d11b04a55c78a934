"""What a program calls once: `configure`, and where spans go."""
