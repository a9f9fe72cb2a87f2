"""The commands: one file each, thin over `aqa_cache` and `aqa_heads`."""
