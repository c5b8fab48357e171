"""The command line: one file per command. What several share: `options`, `plan`, `signals`, `progress`, `present`."""
