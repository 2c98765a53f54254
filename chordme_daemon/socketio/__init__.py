"""Socket.IO: named events and acknowledgements over the links of `engineio`."""
