"""The pages for people: the list of heartbeats, a page for each, and what can be done with them."""
