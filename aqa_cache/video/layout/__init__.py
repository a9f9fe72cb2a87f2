"""How the containers of video files are laid out, from their bytes alone: no decoder, no frame."""
