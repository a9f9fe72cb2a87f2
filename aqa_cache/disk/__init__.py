"""Safe files: whole at every instant, locked between processes, nothing but tensors."""
