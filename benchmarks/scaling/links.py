"""Published speeds of links, and lower bounds on the time that bytes take over them."""

from typing import NamedTuple


class Link(NamedTuple):
    """`bandwidth`: bytes per second that a device sends over all its links; `peak`: its FLOP/s in bfloat16."""

    name: str
    bandwidth: float
    peak: float
    source: str


# ICI and NVLink are published as the sum of both directions: a device sends half of that.
LINKS = (
    Link("TPU v5e, ICI", 400e9 / 2, 197e12, "https://cloud.google.com/tpu/docs/v5e"),
    Link("TPU v5p, ICI", 1200e9 / 2, 459e12, "https://cloud.google.com/tpu/docs/v5p"),
    Link("H100, NVLink", 900e9 / 2, 989e12, "https://www.nvidia.com/en-us/data-center/h100/"),
    Link("H100, 400 Gb/s a GPU", 400e9 / 8, 989e12, "https://docs.nvidia.com/dgx/dgxh100-user-guide/introduction-to-dgxh100.html"),
)  # fmt: skip


def least(sent: float, link: Link) -> float:
    """Seconds for the bytes that each device of a ring sends."""
    return sent / link.bandwidth


def arithmetic(flops: float, link: Link) -> float:
    """Seconds for the matrix products of a device at its peak."""
    return flops / link.peak
