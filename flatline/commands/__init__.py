"""The commands that speak to the JSON API. Nothing here is loaded before a command is one of them."""
