"""What tests share: stand-ins for servers, and ways to look at what was recorded."""
