"""Builds the documentation site from README.md, CONTRIBUTING.md, CHANGELOG.md and docs/: `make docs`.

The pages are written for a forge, where README.md links to docs/. They are copied into a folder of their own,
in which links are the site's and each `<!-- api: MODULE -->` stands for the module's documented functions.
Then zensical builds the site; a dead link or a warning is an error. Knows nothing about what the pages say.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
STAGED = ROOT / "build" / "docs"
TOP_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages outside docs/ and their names on the site."""
CODE = re.compile(r"^(```+).*?^\1 *$|`[^`\n]+`", re.M | re.S)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?P<path>[^)\s#]+)")
API = re.compile(r"^<!-- api: ([\w.]+) -->$", re.M)
DOCTEST = re.compile(r"^(?P<indent> *)>>> .*(?:\n.*\S.*)*", re.M)
WARNING = re.compile(r"^(WARNING|ERROR)\b|\bWarning:", re.M)


def source_pages() -> dict[str, Path]:
    """Each page's name on the site, and its file."""
    pages = {path.name: path for path in sorted((ROOT / "docs").glob("*.md"))}
    return {TOP_PAGES[name]: ROOT / name for name in TOP_PAGES} | pages


def site_link(page: Path, target: str) -> str:
    """The site's path for a relative link of a page; every page and picture is in one folder there.

    Raises:
        ValueError: if the target is no page and no file of docs/.
    """
    path = (page.parent / target).resolve()
    name = PurePosixPath(path.relative_to(ROOT).as_posix())
    if str(name) in TOP_PAGES:
        return TOP_PAGES[str(name)]
    if name.parts[0] != "docs" or not path.is_file():
        raise ValueError(f"{page.relative_to(ROOT)}: {target} is not part of the site")
    return name.relative_to("docs").as_posix()


def staged_text(page: Path) -> str:
    """A page as the site has it: links rewritten outside code, API comments turned into directives."""
    text = page.read_text(encoding="utf-8")
    parts, last = [], 0
    for code in CODE.finditer(text):
        parts += [_rewritten(page, text[last : code.start()]), code[0]]
        last = code.end()
    return "".join([*parts, _rewritten(page, text[last:])])


def _rewritten(page: Path, prose: str) -> str:
    return API.sub(r"::: \1", LINK.sub(lambda link: site_link(page, link["path"]), prose))


def fenced(docstring: str) -> str:
    """The docstring with each block that starts with `>>>` in a fence, so that it is shown as code."""
    return DOCTEST.sub(r"\n\g<indent>```pycon\n\g<0>\n\g<indent>```", docstring)


def stage() -> None:
    """Fill the folder that zensical reads."""
    shutil.rmtree(STAGED, ignore_errors=True)
    STAGED.mkdir(parents=True)
    for name, page in source_pages().items():
        (STAGED / name).write_text(staged_text(page), encoding="utf-8")
    for picture in (ROOT / "docs").glob("*.svg"):
        shutil.copyfile(picture, STAGED / picture.name)


def main() -> int:
    """Stage the pages and build the site; 0 if it was built without a warning."""
    stage()
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout, end="")
    return done.returncode or int(bool(WARNING.search(done.stdout)))


if __name__ == "__main__":
    sys.exit(main())
