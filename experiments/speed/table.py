"""A Markdown table of what `bench_planning.py` measured, in order of the names.

python experiments/speed/table.py experiments/speed/results/planning.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HEAD = (
    "| task | steps | solved | first plan [ms] | longest [ms] | ms/step | seeing [%] | planning, level 0 first [%] |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def row(benchmark: dict[str, Any]) -> str:
    """`ms/step`: the median of the rounds."""
    more, task, seeing = (
        benchmark["extra_info"],
        benchmark["name"].removeprefix("test_steps[").removesuffix("]"),
        benchmark["extra_info"]["seeing"],
    )
    each = 1e3 * benchmark["stats"]["median"] / more["steps"]
    shares = " / ".join(f"{100 * share:.0f}" for share in more["share"])
    solved, first, longest = f"{more['successes']} of {more['episodes']}", more["first_ms"], more["longest_ms"]
    columns = (
        task,
        more["steps"],
        solved,
        f"{first:.0f}",
        f"{longest:.0f}",
        f"{each:.2f}",
        f"{100 * seeing:.0f}",
        shares,
    )
    return f"| {' | '.join(map(str, columns))} |"


def main(arguments: list[str]) -> None:
    (path,) = arguments
    found = json.loads(Path(path).read_text(encoding="utf-8"))["benchmarks"]
    sys.stdout.write("\n".join([*HEAD, *(row(each) for each in found)]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
