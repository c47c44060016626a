"""What a person settles in place of a PSP."""
