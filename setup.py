"""The parts of the build that pyproject.toml cannot express: this folder is both the package and its checkout."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
IN_THE_PACKAGE = ("__init__", "__main__")  # modules in the root; not install.py, hubconf.py and this file


class BuildPackage(build_py):
    def run(self) -> None:
        """Also removes modules that an earlier version left in `build`: they would get into the wheel."""
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib) / "rvm_studio", ignore_errors=True)
        super().run()

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """[(package, module, file)]; setuptools has no option to leave out a module of a listed package."""
        modules = super().find_package_modules(package, package_dir)
        return [found for found in modules if package != "rvm_studio" or found[1] in IN_THE_PACKAGE]


def readme() -> str:
    """README.md with absolute links to this version in the repository: a package index has no files beside it."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")  # by pattern: Python 3.10 has no TOML reader
    repository, version = (
        re.search(rf'^{name} = "(.+?)"', project, re.MULTILINE)[1] for name in ("Repository", "version")
    )

    def absolute(link: re.Match) -> str:
        kind = "raw" if link["picture"] else "blob"
        return f"{link['picture']}[{link['text']}]({repository}/{kind}/v{version}/{link['target']})"

    relative = r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?![a-z]+:|#)(?P<target>[^)]+)\)"
    return re.sub(relative, absolute, (ROOT / "README.md").read_text(encoding="utf-8"))


setup(
    cmdclass={"build_py": BuildPackage},
    long_description=readme(),
    long_description_content_type="text/markdown",
)
