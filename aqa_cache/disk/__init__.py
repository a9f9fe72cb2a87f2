"""Safe files: whole at every instant, locked between processes, tensors that are nothing but tensors."""
