"""What `chordme-daemon` does, a module for each kind of command."""
