"""Draw `docs/diagrams/*.dot` as SVG with Graphviz (`apt install graphviz`): `python docs/make_diagrams.py`.

Lines and text take a colour that is legible on light and on dark pages. Each drawing names the digest of its source, so
that a test finds one that was not drawn again.
"""

import hashlib
import re
import subprocess
from pathlib import Path

FOLDER = Path(__file__).with_name("diagrams")
STYLE = "<style>:root{color:#1f2328}@media(prefers-color-scheme:dark){:root{color:#e6edf3}}</style>"
LOOK = [
    "-Gbgcolor=transparent", "-Gfontname=sans-serif", "-Gfontsize=11", "-Gnodesep=0.25", "-Granksep=0.35",
    "-Nshape=box", "-Nstyle=rounded", "-Nfontname=sans-serif", "-Nfontsize=11", "-Nheight=0.3", "-Nmargin=0.12,0.06",
    "-Efontname=sans-serif", "-Efontsize=10", "-Earrowsize=0.6",
]  # fmt: skip


def digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()[:16]


def draw(source: Path) -> str:
    svg = subprocess.run(["dot", "-Tsvg", *LOOK, str(source)], capture_output=True, text=True, check=True).stdout
    svg = re.sub(r"<!--.*?-->\n?|<title>.*?</title>\n?", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'"black"|"#000000"', '"currentColor"', svg)
    svg = svg.replace("<text ", '<text fill="currentColor" ').replace('"sans-serif"', '"system-ui, sans-serif"')
    return svg.replace(">", f">\n<!-- {source.name} {digest(source)} -->{STYLE}", 1)


if __name__ == "__main__":
    for source in sorted(FOLDER.glob("*.dot")):
        source.with_suffix(".svg").write_text(draw(source))
