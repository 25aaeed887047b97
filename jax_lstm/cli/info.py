"""`jax-lstm info`."""

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jax_lstm.checks import installs
from jax_lstm.environment import EXTRAS, environment, extras
from jax_lstm.kernels.fused import native_status


@dataclass(frozen=True)
class Info:
    """Versions, devices, and installed and missing extras."""

    def run(self, console: Console) -> int:
        facts = environment()
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column()
        table.add_row("jax_lstm", facts["jax_lstm"])
        table.add_row("Python", f"{facts['python']}, {facts['system']}")
        for package, version in facts["packages"].items():
            table.add_row(package, version)
        for device in facts["devices"]:
            table.add_row("device", device)
        table.add_row("CPU", f"{facts['cpu']}, {facts['cores']} cores")
        table.add_row("native kernel", escape(native_status()))
        for extra, installed in extras().items():
            module, purpose = EXTRAS[extra]
            state = "installed" if installed else f"missing ({purpose}): {installs(module, extra)}"
            table.add_row(f"extra {extra}", escape(state))
        console.print(table)
        return 0
