"""`make bench`: what we promise, measured beside its peers in one run.

DESIGN. Machines differ and shared ones drift, so nothing absolute is claimed: the contenders take turns, several rounds
of them, and a figure is the median of the ratios *within* a round. The process under test has one core to itself; the
load and the server have the other. Its CPU time per acknowledged ping is what a fleet pays for; pings per second depend
on the load generator as well and only illustrate.
"""
