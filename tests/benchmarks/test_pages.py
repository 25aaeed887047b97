"""Every study: its page shows its committed record, and wrong arguments are one line."""

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.page import marks
from benchmarks.record import ROOT

RECORDS = ROOT / "benchmarks" / "records"
PAGES = {
    "engine": "performance", "profile": "performance", "frameworks": "frameworks", "jit": "jit", "scaling": "scaling",
    "accuracy": "accuracy", "tasks": "tasks", "ensemble": "tasks", "iterations": "parallel",
}  # fmt: skip


@pytest.mark.parametrize("study", PAGES)
def test_a_page_shows_the_committed_record(study: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--render RECORD --page PAGE` puts back what is taken out of the committed page, with its pictures.

    Without a page it prints it.
    """
    committed = (ROOT / "docs" / f"{PAGES[study]}.md").read_text(encoding="utf-8")
    begin, end = marks(study)
    before, shown, after = re.fullmatch(f"(.*{begin})(.*)({end}.*)", committed, re.DOTALL).groups()  # type: ignore[union-attr]
    assert "|" in shown
    page = tmp_path / "page.md"
    page.write_text(f"{before}\nold\n{after}", encoding="utf-8")
    command = [study, "--render", str(RECORDS / f"{study}.json")]
    assert main([*command, "--page", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == committed
    pictures = re.findall(r"\]\(([\w-]+\.png)\)", committed)
    assert len(pictures) >= {"jit": 4, "scaling": 1, "accuracy": 2}.get(study, 0)
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == shown.strip()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("engine --only everything", "`--only` must be one of peak, layers"),
        ("engine --case huge", "`--case` must be one of 'tutorial'"),
        ("engine --render no-such-file.json", "no-such-file.json: No such file or directory"),
        ("frameworks --contender nobody", "`--contender` must be one of 'torch'"),
        ("frameworks --measure height", "`--measure` must be one of 'forward'"),
        ("frameworks --case tutorial --measure streaming-step", "`--measure` must be one of"),
        (f"frameworks --check {RECORDS}/frameworks.json --case tutorial", "`--case` must be left out with --check"),
        (f"frameworks --check {RECORDS}/engine.json", "not a record of `python -m benchmarks fr"),
        ("profile --seconds 0", "`--seconds` must be positive; got 0.0"),
        ("profile --page docs/performance.md", "`--page` must come with --render, whose record it is to show"),
        (f"profile --render {RECORDS}/profile.json --page gone.md", "gone.md: No such file or directory"),
        (f"profile --render {RECORDS}/profile.json --page {ROOT}/docs/jit.md", "`--page` must hold the two marks"),
        ("jit --sweep everything", "`--sweep` must be one of 'base', 'steps'"),
        ("iterations --shorter 0", "`--shorter` must be an integer of at least 1"),
        ("scaling --most 512", "`--most` must be between 1 and 256; got 512"),
    ],
)
def test_wrong_arguments(command: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmarks: error: ")
    assert message in error
