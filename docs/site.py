"""A hook of MkDocs: the site's first page is README, task files are explained on a page, and links lead there.

Pages are written to be read in the repository as well. A link from one page to another works in both; one to a file
that is no page, such as source, is shown as the name of that file.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": "index.md", "tasks/README.md": "tasks/README.md"}  # beside docs/: repository -> site
LINK = re.compile(r"(!?)\[(?P<text>[^\]]*)\]\((?P<target>(?!https?://|#)[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages above, and the figures that experiments wrote."""
    for source, site in PAGES.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / source)))
    for figure in sorted((ROOT / "experiments").rglob("*.svg")):
        files.append(File.generated(config, str(figure.relative_to(ROOT)), abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of a page as they are in the repository, to where they lead on the site."""
    here = {site: source for source, site in PAGES.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def there(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link["target"]))
        site = PAGES.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(site) is None:
            return f"`{target}`" if (ROOT / target).exists() else link[0]  # a wrong link is left for --strict to find
        path = posixpath.relpath(site, posixpath.dirname(page.file.src_uri) or ".")
        return f"{link[1]}[{link['text']}]({path}{link['anchor'] or ''})"

    return LINK.sub(there, markdown)
