def render(record, page): return 0
