"""Values that everything else is made of; nothing in here does anything."""
