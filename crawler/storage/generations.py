"""The generations of a crawl directory: each re-crawl is a crawl of its own, inside the directory of the first.

    DIR/                   generation 0 (crawler/storage/directory.py), and the lock of all generations
    DIR/generations/N/     generation N: manifest, frontiers, parts, report, as in any crawl directory
    DIR/known.sqlite       what the generations so far know of each page, see crawler/storage/known_pages.py

Rules:
- A generation is a whole crawl, so it is resumed, verified and exported as any other. Only the last is worked on.
- A body is stored once. A row that names the part "N/PART" means the record in that part of generation N, and so does
  a record whose body lies in another one ("N/PART:POSITION"). Names are relative, so a directory may be moved.
- A generation that was dropped has a file `dropped` and no frontier. What later ones need of its parts stays there.
"""

from __future__ import annotations

from pathlib import Path

from crawler.errors import UsageError

GENERATIONS = "generations"
CRAWL = "crawl.json"
"""The manifest of a crawl, as in crawler/storage/manifest.py."""
PARTS = "parts"
KNOWN = "known.sqlite"
DROPPED = "dropped"


def root_of(folder: Path) -> Path:
    """The crawl directory that a generation's folder belongs to: for generation 0 the folder itself."""
    there = folder if folder.parent.name else folder.absolute()
    above = there.parent.parent
    inside = there.parent.name == GENERATIONS and there.name.isdecimal()
    return above if inside and (above / CRAWL).is_file() else folder


def number_of(folder: Path) -> int:
    """The number of the generation in this folder."""
    return 0 if root_of(folder) == folder else int(folder.name)


def folder_of(root: Path, number: int) -> Path:
    """The folder of a generation."""
    return root / GENERATIONS / str(number) if number else root


def generations(root: Path) -> list[int]:
    """The generations that a crawl directory has and that were not dropped, oldest first."""
    found = (path.parent for path in (root / GENERATIONS).glob(f"*/{CRAWL}") if path.parent.name.isdecimal())
    later = sorted(int(folder.name) for folder in found if not (folder / DROPPED).exists())
    return later if later and (root / DROPPED).exists() else [0, *later]


def last_of(path: Path) -> Path:
    """The folder of the last generation of a crawl directory; `path` itself where it has one only, or is one."""
    return folder_of(path, generations(path)[-1])


def chosen(path: Path, number: int | None) -> Path:
    """The folder of generation `number` of a crawl directory, of the last one for None. Raises UsageError where it was
    dropped or never made."""
    there = generations(path)
    if number is None:
        return folder_of(path, there[-1])
    if number not in there:
        raise UsageError(f"{path} has no generation {number} (there are: {', '.join(map(str, there))})")
    return folder_of(path, number)


def is_elsewhere(part: str) -> bool:
    """Whether a part is one of another generation."""
    return "/" in part


def qualified(number: int, part: str) -> str:
    """The name of a part of generation `number`, for other generations."""
    return part if is_elsewhere(part) else f"{number}/{part}"


def located(folder: Path, number: str) -> Path:
    """The folder of the parts of generation `number`, as the one in `folder` names it. Raises KeyError where there is
    none."""
    found = folder_of(root_of(folder), int(number)) / PARTS if number.isdecimal() else None
    if found is None or not found.is_dir():
        raise KeyError(number)
    return found
