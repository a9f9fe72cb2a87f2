"""What there is to compute with: devices, cores, memory."""
