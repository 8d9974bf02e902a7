"""Records how Vowpal Wabbit reads lines of its text, in vw.json (pip install vowpalwabbit==9.11.9).

python tests/golden/record_vw.py
"""

import json
import random
from pathlib import Path

import vowpalwabbit

LINES = [
    "1 |a x", "1 2 0.5 'tag|a x:2 y", "1|f a", "1 2 tag| a", "1 'tag |f a", "|f a", "1 |f:2 a:3 b",
    "1 |f a a", "1 |f 12 007", "1 |12 a", "1 |f :2 :3 a", "1 |f a:0 b", "1 | a |g a",
    "1 |f a:1e2 b:-3 c:+4 d:.5 e:1e-3", "1 | a\tb", "1 |f  a   b ", "1 |f a\r", "1 |f a |",
    "1 |f a| b", "1 |", "1", "  1 |f a", "1e10 |f a", "1 0 |f a", "1 |f -5",
    "1 |f 99999999999999999999999",
    "1 |f 1.5", "'t |f a", "1 1 |f a", "1 't|f a", "1 x|f a", "1 2 3 x|f a", "1 |f é", "1 |f \x01a",
    "1 |f \x01", "1 |é a", "1 |0 a", "1 |f \x0ba", "1 |f a\x0cb", "1 |f:0 a b", "1 |f 'a",
    "1 |f a |f :1 |f :1", "1 |a+b^c x", "1 |f abcdefgh abcdefghi ab abc", "1 | :1 a", "1 |f:-2 a:3",
    "1 |f:1e1 a", "-1 0.25 |user age:0.5 height:1.75 |item price:9.5 id=77 77", "1 |f #",
    "1 |f a=b", "1 |f a:-0.25", "1 |1f 2a", "1 |f a^b a*b", "0 3 1.5 id_7| 1 2 3:4",
]  # fmt: skip


def drawn(rng):
    """A line of random names, some of several bytes."""
    letters = "abcxyzABC019_-+=^*#éß漢☂ñ.,;/\"'()"

    def name():
        return "".join(rng.choice(letters) for _ in range(rng.randrange(1, 12)))

    def feature():
        return name() + rng.choice(["", "", f":{rng.randrange(1, 64) / 8}"])

    spaces = [
        rng.choice(["", name()]) + "".join(f" {feature()}" for _ in range(rng.randrange(5)))
        for _ in range(rng.randrange(1, 4))
    ]
    return f"{rng.randrange(-4, 5)} {rng.randrange(1, 9) / 4} |{' |'.join(spaces)}"


def main():
    rng = random.Random(0)
    workspace = vowpalwabbit.Workspace("--quiet --noconstant -b 18")
    records = []
    for line in LINES + [drawn(rng) for _ in range(60)]:
        example = workspace.parse(line)
        sums = {}
        for i in range(example.num_namespaces()):
            for k in range(example.num_features_in(i)):
                index = example.feature(i, k) & (2**18 - 1)
                sums[index] = sums.get(index, 0.0) + example.feature_weight(i, k)
        label = example.get_simplelabel_label()
        records.append(
            {
                "line": line,
                "label": label if abs(label) < 1e30 else None,
                "weight": example.get_simplelabel_weight(),
                "base": example.get_simplelabel_initial(),
                "tag": example.get_tag(),
                "features": sorted(sums.items()),
            }
        )
        workspace.finish_example(example)
    lines = ",\n".join(json.dumps(record) for record in records)
    Path(__file__).with_name("vw.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
