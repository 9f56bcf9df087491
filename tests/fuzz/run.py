"""
Runs a target: with atheris, which is guided by coverage, or with a plain random mutator where there is no atheris.

    python -m tests.fuzz.run frames                         for ever
    python -m tests.fuzz.run frames --runs 100000           a fixed count
    python -m tests.fuzz.run frames --seconds 900           a fixed time
    python -m tests.fuzz.run frames --replay FILE           one input

What is found goes on standard error, with the file that holds the input.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import tempfile
import time
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def mutated(rng: random.Random, corpus: list[bytes]) -> bytes:
    """
    Change one input of the corpus in a few places.
    """
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.randint(1, 6)):
        position = rng.randrange(len(data) + 1)
        what = rng.randrange(6)
        if what == 0 and data:
            data[position % len(data)] ^= 1 << rng.randrange(8)
        elif what == 1:
            data.insert(position, rng.choice([0, 1, 4, 5, 8, 9, 0xFF, rng.randrange(256)]))
        elif what == 2:
            del data[position : position + rng.randint(1, 9)]
        elif what == 3:
            data[position:position] = data[position : position + rng.randint(1, 40)]
        elif what == 4:
            other = rng.choice(corpus)
            start = rng.randrange(len(other) + 1)
            data[position:position] = other[start : start + rng.randint(1, 40)]
        elif data:
            data[position % len(data)] = rng.randrange(256)
    return bytes(data[:4096])


def runPlain(name: str, runs: int, seconds: float, seed: int, findings: Path) -> int:
    """
    Try mutations of the corpus, blindly, until something is found or they are done.

    @return: how many.
    """
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    rng = random.Random(seed)
    corpus = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    ends = time.monotonic() + seconds if seconds else None
    done = 0
    while not runs or done < runs:
        if ends is not None and time.monotonic() > ends:
            break
        data = mutated(rng, corpus)
        done += 1
        try:
            target(data)
        except Exception:
            path = findings / f"finding-{name}-{done}"
            path.write_bytes(data)
            print(f"{path} after {done} runs", file=sys.stderr)
            raise
    return done


def runGuided(name: str, runs: int, seconds: float, seed: int, findings: Path, grown: Path) -> None:
    """
    Have atheris run the target; it ends the process.
    """
    import atheris

    with atheris.instrument_imports(include=["txh2session", "h2", "hpack", "hyperframe"]):
        from tests.fuzz.targets import TARGETS
    arguments = [sys.argv[0], str(grown), str(CORPUS / name), f"-artifact_prefix={findings}/", "-max_len=4096"]
    arguments += ["-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1"]
    arguments += [f"-runs={runs}"] * bool(runs) + [f"-max_total_time={int(seconds)}"] * bool(seconds)
    arguments += [f"-seed={seed}"] * bool(seed)
    atheris.Setup(arguments, TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    """
    Read the command line.

    @return: the process's exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description="Fuzz inbound bytes.")
    parser.add_argument("target", choices=["raw", "frames", "splitter"])
    parser.add_argument("--runs", type=int, default=0, help="how many inputs; for ever if not given")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="makes a run with --runs the same each time")
    parser.add_argument("--plain", action="store_true", help="do without atheris")
    parser.add_argument("--findings", type=Path, default=Path("."), help="where inputs that fail are put")
    parser.add_argument("--grown", type=Path, help="where inputs that reach new code are put; thrown away if not given")
    parser.add_argument("--replay", type=Path, help="run one input")
    given = parser.parse_args()
    if given.replay is not None:
        from tests.fuzz.targets import TARGETS

        TARGETS[given.target](given.replay.read_bytes())
        return 0
    if given.plain or importlib.util.find_spec("atheris") is None:
        done = runPlain(given.target, given.runs, given.seconds, given.seed or time.time_ns(), given.findings)
        print(f"{given.target}: {done} runs without atheris, nothing found")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        grown = given.grown or Path(temporary)
        grown.mkdir(parents=True, exist_ok=True)
        runGuided(given.target, given.runs, given.seconds, given.seed, given.findings, grown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
