// Replaced by the folder's first test.
