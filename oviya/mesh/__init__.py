"""The runtime that every service shares.

Import what is needed from its modules: an app that only calls Oviya must not need a server's dependencies.
"""
