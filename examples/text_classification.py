"""
Classify texts
==============

Which library does a paragraph of documentation come from? The texts are the docstrings of NumPy,
SciPy, scikit-learn and matplotlib, which are installed along with this example. Words and pairs of
words are hashed to 2\\ :sup:`18` columns, so that no vocabulary has to be built or kept.
"""

import importlib
import inspect
import re

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GroupShuffleSplit

import lrcore

MODULES = {
    "numpy": ["numpy", "numpy.linalg", "numpy.fft", "numpy.random", "numpy.ma"],
    "scipy": ["scipy.signal", "scipy.stats", "scipy.optimize", "scipy.linalg", "scipy.ndimage"],
    "sklearn": ["sklearn.metrics", "sklearn.linear_model", "sklearn.tree", "sklearn.cluster"],
    "matplotlib": [
        "matplotlib.pyplot",
        "matplotlib.axes",
        "matplotlib.figure",
        "matplotlib.colors",
    ],
}

# %%
# Each paragraph of at least twelve words is a text. Names of the libraries are left out, since
# they would give the answer away. Paragraphs of one docstring stay together when rows are held
# out: otherwise a model would be tested on sentences that it has almost seen.

texts, library, source = [], [], []
for name, modules in MODULES.items():
    members = [
        member for each in modules for member in vars(importlib.import_module(each)).values()
    ]
    docstrings = {inspect.getdoc(member) for member in members if callable(member)} - {None}
    for number, docstring in enumerate(sorted(docstrings)):
        for paragraph in docstring.split("\n\n"):
            words = re.findall(r"[a-z]{2,}", paragraph.lower())
            words = [
                word for word in words if word not in {*MODULES, "np", "plt", "scikit", "learn"}
            ]
            if len(words) >= 12:
                texts.append(" ".join(words))
                library.append(name)
                source.append(f"{name} {number}")
texts, library = np.array(texts, object), np.array(library)
split = GroupShuffleSplit(1, test_size=0.25, random_state=0)
train, test = next(split.split(texts, library, source))

# %%
# Nothing has to be chosen: with so many columns the solver is dual coordinate ascent, and the
# weight of the penalty is the one that predicts held-out rows best.

vectorizer = lrcore.HashingVectorizer(n_features=2**18, ngram_range=(1, 2))
X = vectorizer.transform(texts)
clf = lrcore.LinearClassifier(random_state=0).fit(X[train], library[train])
print(f"{len(texts):,} texts, {X.nnz:,} values")
accuracy = clf.score(X[test], library[test])
print(f"solver {clf.solver_}, alpha {clf.alpha_:.2g}, accuracy {accuracy:.3f}")

# %%
# A hashed model does not keep words, but it can be asked for the weight of any word: hash it, and
# multiply.

words = sorted({word for text in texts[train] for word in text.split()})
weights = vectorizer.transform(words) @ clf.coef_.T
shares = confusion_matrix(library[test], clf.predict(X[test]), normalize="true")

fig, axes = plt.subplots(
    1, 5, figsize=(11, 4), layout="constrained", width_ratios=[2.2, 1, 1, 1, 1]
)
axes[0].imshow(shares, cmap="Blues", vmin=0, vmax=1)
for (row, column), share in np.ndenumerate(shares):
    axes[0].text(
        column, row, f"{share:.0%}", ha="center", va="center", color="w" if share > 0.5 else "k"
    )
axes[0].set(xticks=range(4), yticks=range(4), xlabel="predicted", ylabel="library")
axes[0].set_xticklabels(clf.classes_, rotation=30, ha="right")
axes[0].set_yticklabels(clf.classes_)
axes[0].set_title("held-out paragraphs", loc="left", fontsize=10)
for ax, name, column in zip(axes[1:], clf.classes_, weights.T):
    top = np.argsort(column)[-12:]
    ax.barh(range(12), column[top], color="#0072B2")
    ax.set_yticks(range(12), [words[i] for i in top], fontsize=8)
    ax.set_xticks([])
    ax.set_title(name, loc="left", fontsize=10)
fig.suptitle(
    "Where paragraphs end up, and the words that speak most for each library", x=0.01, ha="left"
)
plt.show()
