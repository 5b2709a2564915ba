"""The wire contract, made from proto/ by tests/generate.py."""
