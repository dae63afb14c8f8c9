"""The documentation site: its navigation lists every page, and links lead where the repository's do."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.site import ROOT, TOP_PAGES, fenced, site_link, source_pages, staged_text

CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


def listed(nav: list[dict[str, Any]]) -> Iterator[str]:
    """The pages of a navigation, nested sections included."""
    for entry in nav:
        for target in entry.values():
            yield from listed(target) if isinstance(target, list) else [target]


def test_the_navigation_lists_every_page_once() -> None:
    assert sorted(listed(CONFIG["nav"])) == sorted(source_pages())


def test_what_is_built_is_not_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/{CONFIG['site_dir']}/" in ignored
    assert f"{CONFIG['docs_dir'].split('/')[0]}/" in ignored


@pytest.mark.parametrize(
    ("page", "target", "link"),
    [
        ("README.md", "docs/data.md", "data.md"),
        ("README.md", "docs/strategies.svg", "strategies.svg"),
        ("README.md", "CHANGELOG.md", "changelog.md"),
        ("docs/data.md", "strategies.md", "strategies.md"),
        ("docs/data.md", "../README.md", "index.md"),
    ],
)
def test_links_lead_to_the_same_page(page: str, target: str, link: str) -> None:
    assert site_link(ROOT / page, target) == link


@pytest.mark.parametrize("target", ["../Makefile", "nowhere.md"])
def test_a_link_out_of_the_site_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="is not part of the site"):
        site_link(ROOT / "docs" / "data.md", target)


@pytest.mark.parametrize("page", source_pages().values(), ids=lambda path: path.name)
def test_every_link_of_every_page_is_part_of_the_site(page: Path) -> None:
    text = staged_text(page)
    assert "](docs/" not in text
    assert "<!-- api:" not in text


def test_code_is_left_alone_and_api_comments_become_directives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.site.ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").touch()
    page = tmp_path / "README.md"
    page.write_text(
        "[a](docs/a.md#b) `[a](docs/a.md)` [c](#c)\n\n```\n[a](docs/a.md)\n```\n\n<!-- api: x.y -->\n"
    )
    assert staged_text(page) == (
        "[a](a.md#b) `[a](docs/a.md)` [c](#c)\n\n```\n[a](docs/a.md)\n```\n\n::: x.y\n"
    )


def test_doctests_are_fenced_to_their_last_line() -> None:
    assert fenced("Adds.\n>>> 1 + 1\n  2\n\nMore.") == "Adds.\n\n```pycon\n>>> 1 + 1\n  2\n```\n\nMore."


def test_pages_at_the_top_have_names_of_their_own() -> None:
    assert not set(TOP_PAGES.values()) & {path.name for path in (ROOT / "docs").glob("*.md")}
