"""What an operator may ask of a running daemon, over its admin site."""
