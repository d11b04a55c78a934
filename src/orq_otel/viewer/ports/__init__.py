"""What every port has: how it listens, who may ask, and how refusals are answered."""
