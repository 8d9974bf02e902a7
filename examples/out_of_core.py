"""
Data that do not fit into memory
================================

A `~lrcore.io.Dataset` reads files batch by batch, in a thread beside the fit. This example writes
packed files of raw text, fits a model in one pass over them, and compares what has to be in memory
with what lies on disk.
"""

import gzip
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import lrcore

# %%
# Eight files of 20,000 reviews each: a number of stars and a text, whose words are generated. A
# word speaks for a good or a bad review.

rng = np.random.default_rng(0)
words = np.array(["".join(rng.choice(list("aeioubdklmnrst"), 7)) for _ in range(20_000)])
opinion = rng.normal(size=len(words)) * 0.8
folder, unpacked = Path(tempfile.mkdtemp()), 0
for part in range(8):
    chosen = rng.zipf(1.15, (20_000, 15)) % len(words)
    good = rng.random(20_000) < 1 / (1 + np.exp(-opinion[chosen].sum(axis=1)))
    lines = [f"{int(label)},{' '.join(row)}\n" for label, row in zip(good, words[chosen])]
    text = "".join(["good,text\n", *lines]).encode()
    unpacked += len(text)
    with gzip.open(folder / f"reviews-{part}.csv.gz", "wb", compresslevel=1) as file:
        file.write(text)

# %%
# A pattern names all files. Nothing is read until the fit asks for it.

hasher = lrcore.TableHasher(text=["text"], n_features=2**18)
rows = lrcore.io.scan_csv(folder / "reviews-*.csv.gz", label="good", features=hasher)
seen, losses = [], []


def record(event):
    """Note the loss of the rows so far, each before it was learnt from."""
    seen.append(event.n_rows)
    losses.append(event.loss)


clf = lrcore.LinearClassifier(lr=0.3, random_state=0).fit(rows, callback=record)
print(f"{seen[-1]:,} rows in one pass; loss {losses[-1]:.3f}, each row before it was learnt from")

# %%
# A batch is what is in memory, beside the weights. It stays as large as it is however long the
# files are.

sizes = [
    (batch.X.data.nbytes + batch.X.indices.nbytes + batch.X.indptr.nbytes)
    for batch in rows.batches()
]
megabytes = {
    "text, unpacked": unpacked,
    "all rows as a matrix": sum(sizes),
    "files on disk": sum(path.stat().st_size for path in folder.iterdir()),
    "weights and their states": 2 * clf.coef_.nbytes,
    "largest batch": max(sizes),
}
for name, size in megabytes.items():
    print(f"{name:26} {size / 1e6:6.1f} MB")

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
left.plot(np.divide(seen, 1000), losses, color="#0072B2")
left.set(xlabel="thousand rows", ylabel="mean loss of the rows so far")
left.set_title("One pass: rows are predicted, then learnt from", loc="left")
colors = ["0.7"] * 3 + ["#0072B2"] * 2
right.barh(list(megabytes), [size / 1e6 for size in megabytes.values()], color=colors)
for row, size in enumerate(megabytes.values()):
    right.text(size / 1e6, row, f" {size / 1e6:.0f}", va="center")
right.invert_yaxis()
right.set(xlabel="MB", xlim=(0, 1.15 * unpacked / 1e6))
right.set_title("What has to be in memory (blue)", loc="left")
plt.show()
