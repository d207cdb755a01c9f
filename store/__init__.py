"""The Redis data model: keys, records, scripts, connections. The only room that imports redis."""
