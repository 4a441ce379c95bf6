"""The reader process: a program of its own, whose modules import each other as siblings."""
