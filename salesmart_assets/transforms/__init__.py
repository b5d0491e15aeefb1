"""What the tables are computed with: functions from frame to frame, equal on every engine."""
