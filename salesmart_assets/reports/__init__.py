"""The daily and the monthly report: what a sales manager reads, one self-contained HTML page each.

Belongs here: which figures a page shows, how they are plotted and laid out. Does not belong here: how they come about
(transforms), where pages are stored and when they are made (assets).
"""
