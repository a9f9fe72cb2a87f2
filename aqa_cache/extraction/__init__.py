"""Videos to a cache file: the run, its pipeline, shards and parts."""
