"""Time this checkout and another commit in turn, and say what each benchmark takes now for what it took there.

    python experiments/speed/against.py HEAD~1                           # planning, all agents
    python experiments/speed/against.py v0.1.0 --only medium --pairs 10
    python experiments/speed/against.py HEAD~1 --what training

Both run the benchmarks of this checkout, each with the agents that are shipped in it. What else the machine does hits
both of a pair about alike, and the interval over pairs says how much of it is left.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).resolve().parents[2]
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}  # 95 %, by pairs


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commit", help="what this checkout is compared with")
    parser.add_argument("--what", choices=("planning", "training"), default="planning")
    parser.add_argument("--only", default="", help="benchmarks whose names fit, as in pytest -k")
    parser.add_argument("--pairs", type=int, default=5, choices=STUDENT)
    given = parser.parse_args(arguments)
    ratios: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        before, bench = Path(folder, "before"), ROOT / "experiments" / "speed" / f"bench_{given.what}.py"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(before), given.commit], check=True)
        try:
            for pair in range(given.pairs):
                trees = (before, ROOT) if pair % 2 else (ROOT, before)  # neither is always the first
                found = {tree: seconds(tree, bench, given.only, Path(folder, "times.json")) for tree in trees}
                for name in found[ROOT].keys() & found[before].keys():
                    ratios[name].append(found[ROOT][name] / found[before][name])
                sys.stdout.write(f"pair {pair + 1} of {given.pairs}\n")
                sys.stdout.flush()
        finally:
            subprocess.run([*git, "remove", "--force", str(before)], check=True)
    for name, found in sorted(ratios.items()):
        middle, off = interval(found)
        sys.stdout.write(f"{name}: {middle:.3f} of before, 95 % {middle / off:.3f} to {middle * off:.3f}\n")
    return 0 if ratios else 1


def seconds(tree: Path, bench: Path, only: str, out: Path) -> dict[str, float]:
    """By benchmark, the least time of the processor of any round, with the hplan of this tree. What fails there, since
    it did not exist, is left out."""
    out.unlink(missing_ok=True)
    configuration = str(tree / "pyproject.toml")  # whose folder comes first where modules are looked for
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", configuration, str(bench)]
    command += ["--benchmark-timer", "time.process_time", "--benchmark-json", str(out), *(["-k", only] if only else [])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if not out.exists():
        sys.stderr.write(done.stdout + done.stderr)
        return {}
    return {each["name"]: each["stats"]["min"] for each in json.loads(out.read_text())["benchmarks"]}


def interval(ratios: list[float]) -> tuple[float, float]:
    """Geometric mean, and by what factor it may be off at 95 %."""
    logs = [math.log(ratio) for ratio in ratios]
    off = STUDENT[len(logs)] * stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    return math.exp(mean(logs)), math.exp(off)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
