"""Runs the built function where AWS is not: under the Runtime Interface Emulator, in a container by sam local, by cargo-lambda."""
