"""All that opens a video: decoding, frame index, frame folders, decoding threads."""
