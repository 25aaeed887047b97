"""`jax-lstm label`."""

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape

from jax_lstm.cli import show
from jax_lstm.estimators import SequenceClassifier
from jax_lstm.files import write_whole


@dataclass(frozen=True)
class Label:
    """Label new sequences with a trained classifier: a CSV row for each, with the probability of every label."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train labels or compare labels."""
    sequences: str
    """File of sequences, .ts or .csv; labels in it are not read."""
    sequence: str = ""
    """CSV column with the name of the sequence that a row belongs to; that of training if not given."""
    out: str = ""
    """CSV file for the labels; printed if not given."""

    def run(self, console: Console) -> int:
        classifier = SequenceClassifier.load(self.run_directory)
        if self.sequence:
            classifier.set_params(sequence=self.sequence)
        show.left_out(Console(stderr=True), classifier.run.diverged)
        new = classifier.read(self.sequences)
        probabilities = classifier.predict_proba(new.values)
        classes = classifier.classes_
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["sequence", "label", *(f"p {name}" for name in classes)])
        for name, row in zip(new.names, probabilities, strict=True):
            writer.writerow([name, classes[row.argmax()], *(f"{value:.6g}" for value in row)])
        if not self.out:
            sys.stdout.write(text.getvalue())
            return 0
        write_whole(Path(self.out), text.getvalue())
        console.print(f"labels: [bold]{escape(self.out)}[/], {len(new.names):,} sequences")
        return 0
