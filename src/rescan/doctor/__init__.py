"""What is there of what Rescan needs, and what to do about the rest; and the cleaning up of trainings' states."""
