"""ChordMe's backend over HTTP: who may do what, and a song's text in and out."""
