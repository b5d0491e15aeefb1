"""Tests of encrypted settings and of settings in vaults."""
