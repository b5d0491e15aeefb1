"""Secrets that the platform makes and keeps for itself."""
