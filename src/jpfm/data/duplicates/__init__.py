"""Finding documents that are copies of others, over any number of shards in bounded memory."""
