"""The report: records of all studies as one page, with charts by Vega-Lite."""
