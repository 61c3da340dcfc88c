"""Runs the built function outside AWS: under the Runtime Interface Emulator, in a container with sam local, and with
cargo-lambda."""
