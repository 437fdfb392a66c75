#!/usr/bin/env python3
"""What a room uses is said once: the NEEDS of its line in src/CMakeLists.txt are the rooms whose headers its files include, all of them
earlier lines, and the picture in CONTRIBUTING.md shows these, without the arrows that follow from others.

    check_rooms.py [FOLDER]    the repository; by default the one that this file is in
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2])
wrong = []

needs = {}
for arguments in re.findall(r"^mercer_room\(([^)]*)\)", (root / "src/CMakeLists.txt").read_text(), re.M):
    room, *words = arguments.split()
    named = words[words.index("NEEDS") + 1:] if "NEEDS" in words else []
    named = set(named[:named.index("EXTERNAL")] if "EXTERNAL" in named else named)
    for other in sorted(named - needs.keys()):
        wrong.append(f"src/CMakeLists.txt: {room} NEEDS {other}, which is no earlier line")
    needs[room] = named & needs.keys()

for room, named in needs.items():
    used = {}
    for folder in (root / "include/mercer" / room, root / "src" / room):
        for file in sorted(folder.glob("*.[ch]pp")):
            for other in re.findall(r'^#include "mercer/(\w+)/', file.read_text(), re.M):
                used.setdefault(other, file.relative_to(root))
    used.pop(room, None)
    for other in sorted(used.keys() - named):
        wrong.append(f"src/CMakeLists.txt: {room} needs {other} too, which {used[other]} includes")
    for other in sorted(named - used.keys()):
        wrong.append(f"src/CMakeLists.txt: {room} NEEDS {other}, of which no file of {room} includes a header")


def reached(room):
    """Every room that `room` uses, also through others."""
    return set().union(*({other} | reached(other) for other in needs[room]))


picture = (root / "CONTRIBUTING.md").read_text().split("```mermaid")[1].split("```")[0]
shown = set()
for line in picture.splitlines():
    chain = re.sub(r'\["[^"]*"\]', "", line).split("-->")
    shown |= {(a.strip(), b.strip()) for a, b in zip(chain, chain[1:])}
arrows = {(a, b) for a in needs for b in needs[a] if not any(b in reached(c) for c in needs[a])}
for a, b in sorted(arrows - shown):
    wrong.append(f"CONTRIBUTING.md: the picture lacks {a} --> {b}")
for a, b in sorted((shown - arrows)):
    if a != "drivers":
        wrong.append(f"CONTRIBUTING.md: the picture has {a} --> {b}, which is not so or follows from others")

if len(needs) < 15:
    wrong.append(f"only {len(needs)} rooms found")
print("\n".join(wrong) or f"{len(needs)} rooms need what they include, and the picture shows it")
sys.exit(1 if wrong else 0)
