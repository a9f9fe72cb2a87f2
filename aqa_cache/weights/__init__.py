"""Which tensors a backbone gets, and from where: published, downloaded, random, fine-tuned."""
