"""Where secrets come from: encrypted files, vaults, and what the platform makes and keeps for itself.

Nothing here knows the settings; they ask for the values of the names that they have.
"""
