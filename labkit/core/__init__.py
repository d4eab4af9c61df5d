"""What everything stands on: errors, languages, units, tables, progress, the cache, processes."""
