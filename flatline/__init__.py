"""The product's own name: the command line, `flatline up`, the embedded server."""
