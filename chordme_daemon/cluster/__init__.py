"""How several daemons act as one, over Redis; or one alone, with a file."""
