"""Engine.IO: a message link to one browser, over WebSocket or long-polling."""
