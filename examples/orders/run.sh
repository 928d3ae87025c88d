#!/bin/sh
# Run a command so that, at a terminal, Ctrl-C reaches it and nobody else: make would report an interrupt as an
# error of its own, whatever the exit code of the command that it ran.
if [ -t 0 ]; then
    set -m
fi
"$@"
