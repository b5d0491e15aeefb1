"""Publication: databases, side tables, the switch."""
