"""What ChordMe means by its events: songs, rooms, and who may do what there."""
