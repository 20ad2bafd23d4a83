"""Training: the loop, its state, the loader, augmentation, losses, schedules, GPU leases; and inference."""
