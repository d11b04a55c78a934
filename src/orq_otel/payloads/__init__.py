"""JSON of model APIs, read into attributes and content. Pure functions."""
