"""Where state is kept: in memory, in SQLite; one file per store, imported when it is used."""
