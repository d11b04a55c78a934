"""The commands of `orq-otel`, one module each: `add_parser(subparsers)`, and `run(options)`."""
