//! Listening: one socket a worker on one port, accepting within limits, and leaving without cutting anybody off.
