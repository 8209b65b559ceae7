"""The ledger: an index in SQLite of what the files of a sweep say. Delete it and it is built again, row for row."""
