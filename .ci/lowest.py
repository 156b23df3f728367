"""The lowest versions of the dependencies that pyproject.toml allows, as constraints for pip, a line each."""

import re
import sys
from pathlib import Path

REQUIREMENT = re.compile(r'"([A-Za-z0-9_-]+)>=([0-9.]+)[^"]*"')


def main() -> None:
    """Print them; of what stands there twice the higher one."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, tuple[int, ...]] = {}
    for name, version in REQUIREMENT.findall(text[text.index("dependencies = [") : text.index("[project.scripts]")]):
        found[name] = max(found.get(name, ()), tuple(map(int, version.split("."))))
    sys.stdout.writelines(f"{name}=={'.'.join(map(str, version))}\n" for name, version in sorted(found.items()))


if __name__ == "__main__":
    main()
