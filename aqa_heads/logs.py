"""Lines that a person should know, for the logger `aqa_heads`; see `aqa_cache.logs`."""

from aqa_cache.logs import logged

log_line = logged("aqa_heads")
