"""Tables in the terminal, in the one style of this program."""

from rich import box
from rich.table import Table


def table(title: str) -> Table:
    """An empty one."""
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
