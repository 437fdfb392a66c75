#!/usr/bin/env python3
"""Doxygen's input filter: comments are plain text with formulas, in which what Doxygen would take for commands, tags or links is escaped."""
import re
import sys

for line in open(sys.argv[1], encoding="utf-8"):
    at = line.find("///")
    if at < 0:
        sys.stdout.write(line)
        continue
    start = at + (4 if line.startswith("///<", at) else 3)
    sys.stdout.write(line[:start] + re.sub(r"([\\@<>&$#%\"])", r"\\\1", line[start:]))
