"""What may leave this computer: the router and what it looks for."""
