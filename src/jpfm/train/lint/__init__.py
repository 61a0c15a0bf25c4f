"""Settings that are known to have spoilt runs."""
