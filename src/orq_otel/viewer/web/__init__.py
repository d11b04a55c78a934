"""What a browser and other programs ask for: the pages and the API."""
