"""What starts runs: the job of a batch, and the sensor that asks for it."""

from salesmart_assets.automation.jobs import load_batch
from salesmart_assets.automation.sensors import landing_sensor

__all__ = ["landing_sensor", "load_batch"]
