"""Pure functions of settings and time. Imports nothing of ours."""
