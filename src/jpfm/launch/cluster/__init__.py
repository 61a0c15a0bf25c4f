"""What `jpfm doctor --cluster` looks at before a long run, on all nodes of a job at once."""
