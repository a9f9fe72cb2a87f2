"""From frames to the network's input: which frames make a clip, its views, preprocessing. Opens no file."""
