"""Files of data as text."""


def svmlight(rows, labels, base=1):
    lines = []
    for i, label in enumerate(labels):
        span = slice(rows.indptr[i], rows.indptr[i + 1])
        pairs = zip(rows.indices[span] + base, rows.data[span].tolist())
        lines.append(" ".join([str(label), *(f"{j}:{v!r}" for j, v in pairs)]))
    return "\n".join(lines) + "\n"
