"""Reports: views over finished artifacts. They compute nothing that an artifact does not hold."""
