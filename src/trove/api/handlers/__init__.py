"""What each route does, one file a noun."""
