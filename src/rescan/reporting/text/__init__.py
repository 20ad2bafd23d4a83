"""What the page says, in words."""
