"""Publishes once, in a process that a fault point may kill: `python -m … URL TOTAL VERSION`."""

from __future__ import annotations

import sys

from salesmart_assets import faultpoints
from salesmart_assets.publish import Publisher, open_database
from salesmart_assets_tests.publish.samples import MEMBERS, TEAM, member_load, team_load

if __name__ == "__main__":
    url, total, version = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    publisher = Publisher(open_database(url), [TEAM, MEMBERS], on_step=faultpoints.reach)
    publisher.publish([team_load(total, version=version), member_load(total, version=version)], "killed")
