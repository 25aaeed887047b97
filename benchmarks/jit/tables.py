def print_tables(console, record): pass
