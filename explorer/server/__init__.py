"""What this server has, lacks and is busy with, and who may see and stop everything: facts, nothing drawn."""
