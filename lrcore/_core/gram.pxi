# The Hessian of a loss and its Cholesky factor, in float64.
#
# Every number is summed up in the order of the rows, by one thread, whichever has it: columns are
# divided among threads. So the bits do not depend on threads.


cdef inline void pack_row(
    const real* x, Py_ssize_t n, bint intercept, double factor, const Gram* g, Py_ssize_t low,
    Py_ssize_t p, double* a, double* b
) noexcept nogil:
    """Row p of the panel: its columns from low on, eight by eight in b, and times the factor, four
    by four in a."""
    cdef Py_ssize_t j, k, whole = low + (n - low) // 8 * 8
    cdef double value
    for j in range(low, whole, 8):
        for k in range(8):
            value = <double>x[j + k]
            b[(j - low) * g.panel + 8 * p + k] = value
            a[(j - low + k // 4 * 4) * g.panel + 4 * p + k % 4] = factor * value
    for j in range(whole, g.width):
        value = <double>x[j] if j < n else 1.0 if intercept and j == n else 0.0
        k = j - whole
        b[(whole - low + k // 8 * 8) * g.panel + 8 * p + k % 8] = value
        a[(whole - low + k // 4 * 4) * g.panel + 4 * p + k % 4] = factor * value


cdef inline void add_panel(
    const Gram* g, const double* a, const double* b, Py_ssize_t rows, Py_ssize_t low,
    Py_ssize_t high, Py_ssize_t first
) noexcept nogil:
    """H += a' b for the rows low to high of H, on and above the diagonal, by tiles of 4 by 8; a and b
    begin with column `first`, a multiple of eight."""
    cdef Py_ssize_t i, j
    for i in range(low, high, 4):
        for j in range(i // 8 * 8, g.width, 8):
            gram_tile(
                a + (i - first) * g.panel, b + (j - first) * g.panel, rows,
                g.out + i * g.width + j, g.width,
            )


cdef inline Py_ssize_t triangle_cut(Py_ssize_t width, int part, int parts) noexcept nogil:
    """Where the rows of H of a thread begin, so that each has about as much of the triangle."""
    cdef Py_ssize_t row = 0
    cdef double whole = <double>width * width * (parts - part)
    while row < width and <double>(width - row) * (width - row) * parts > whole:
        row += 8
    return row


cdef inline void gram_dense(Gram* g, real* dtype, int part, int parts) noexcept nogil:
    cdef const Rows* X = g.X
    cdef Py_ssize_t low = triangle_cut(g.width, part, parts)
    cdef Py_ssize_t high = triangle_cut(g.width, part + 1, parts)
    cdef Py_ssize_t i, row, p = 0
    cdef double* a = g.scratch + 2 * part * g.panel * g.width
    cdef double* b = a + g.panel * g.width
    if low >= high:
        return
    for i in range(g.n_rows):
        row = g.order[i] if g.order is not NULL else i
        if g.factors[row] == 0:
            continue
        pack_row(
            values_at(X, row * X.n_columns, dtype), X.n_columns, g.intercept, g.factors[row], g, low,
            p, a, b,
        )
        p += 1
        if p == g.panel:
            add_panel(g, a, b, p, low, high, low)
            p = 0
    if p:
        add_panel(g, a, b, p, low, high, low)


cdef inline void gram_entries(
    const Gram* g, double factor, const index* j, const real* x, Py_ssize_t n, int64_t low,
    int64_t high
) noexcept nogil:
    """H += factor x x', for a sparse row and the rows low to high of H."""
    cdef Py_ssize_t k, m
    cdef double value
    cdef double* row
    for k in range(lower_bound(j, n, low), n):
        if j[k] >= high:
            break
        value = factor * x[k]
        row = g.out + j[k] * g.width
        for m in range(k, n):
            row[j[m]] += value * x[m]
        if g.intercept:
            row[g.n_features] += value


cdef inline void gram_sparse(Gram* g, real* dtype, int part, int parts) noexcept nogil:
    cdef const Rows* X = g.X
    cdef Py_ssize_t i, row, start, n
    cdef double factor
    cdef int64_t low = g.bounds[part], high = g.bounds[part + 1]
    for i in range(g.n_rows):
        row = g.order[i] if g.order is not NULL else i
        factor = g.factors[row]
        if factor == 0:
            continue
        start = X.indptr[row]
        n = X.indptr[row + 1] - start
        if X.indices is not NULL:
            gram_entries(g, factor, X.indices + start, values_at(X, start, dtype), n, low, high)
        else:
            gram_entries(g, factor, X.long_indices + start, values_at(X, start, dtype), n, low, high)
        if g.intercept and part == parts - 1:
            g.out[g.n_features * (g.width + 1)] += factor


cdef void gram(void* unused, real* dtype, void* unused_too, Gram* g, int part, int parts) noexcept nogil:
    """H += the rows' outer products times their factors; its part on and above the diagonal."""
    if g.X.indptr is NULL:
        gram_dense(g, dtype, part, parts)
    elif parts == g.n_ranges:
        gram_sparse(g, dtype, part, parts)
    elif part == 0:
        # Fewer threads than asked for: one does it all.
        for part in range(g.n_ranges):
            gram_sparse(g, dtype, part, g.n_ranges)


# ---- Cholesky's factor ----------------------------------------------------------------------------


cdef void factorise(
    void* unused, void* unused_too, double* H, Gram* g, int part, int parts
) noexcept nogil:
    """H = U' U: U in place of the upper triangle. A pivot that is next to nothing beside what it was
    stands for a direction that the others span: its row of U becomes 0, and so does the solution's
    entry."""
    cdef Py_ssize_t first, last, k, p, j, n = g.n_features, width = g.width
    cdef double factor
    cdef double* a = g.scratch
    cdef double* b = a + g.panel * width
    cdef double* row
    for k in range(n):
        g.pivots[k] = H[k * width + k]
    first = 0
    while first < n:
        last = min(first + g.panel, n)
        for k in range(first, last):
            row = H + k * width
            for p in range(first, k):
                factor = H[p * width + k]
                for j in range(k, n):
                    row[j] -= factor * H[p * width + j]
            factor = 0.0
            if row[k] > PIVOT * g.pivots[k]:
                factor = 1.0 / sqrt(row[k])
            for j in range(k, n):
                row[j] = row[j] * factor
        # What is below and to the right, by the same kernel as the Hessian.
        if last < n:
            for p in range(last - first):
                pack_row(
                    <const double*>H + (first + p) * width, n, False, -1.0, g, last, p, a, b
                )
            add_panel(g, a, b, last - first, last, n, last)
        first = last


# ---- leverages -----------------------------------------------------------------------------------


cdef inline void load_lane(
    const Rows* X, real* dtype, Py_ssize_t row, double* y, Py_ssize_t lane, Py_ssize_t n_features
) noexcept nogil:
    """A row, with one more feature that is 1, as one of eight lanes of y."""
    cdef Py_ssize_t k, start, stop
    cdef const real* x
    row_span(X, row, &start, &stop)
    x = values_at(X, start, dtype)
    for k in range(stop - start):
        if X.indices is not NULL:
            y[8 * X.indices[start + k] + lane] = x[k]
        elif X.long_indices is not NULL:
            y[8 * X.long_indices[start + k] + lane] = x[k]
        else:
            y[8 * k + lane] = x[k]
    y[8 * n_features + lane] = 1.0


cdef void leverages(
    const Rows* X, real* dtype, double* out, Gram* g, int part, int parts
) noexcept nogil:
    """x' H^-1 x of each row, with H = U' U: the sum of squares of U'^-1 x, of eight rows at once."""
    cdef Py_ssize_t n = g.n_features + 1, width = g.width, first, k, p, i, n_lanes
    cdef Py_ssize_t stop = cut(X.n_rows, part + 1, parts)
    cdef const double* U = g.factors
    cdef double* y = g.scratch + 8 * n * part
    cdef double[8] total
    cdef double pivot, factor
    for first in range(cut(X.n_rows, part, parts), stop, 8):
        n_lanes = min(8, stop - first)
        for k in range(8 * n):
            y[k] = 0.0
        for i in range(n_lanes):
            load_lane(X, dtype, first + i, y, i, g.n_features)
        for i in range(8):
            total[i] = 0.0
        for p in range(n):
            pivot = U[p * width + p]
            pivot = 1.0 / pivot if pivot > 0 else 0.0
            for i in range(8):
                y[8 * p + i] = y[8 * p + i] * pivot
                total[i] += y[8 * p + i] * y[8 * p + i]
            for k in range(p + 1, n):
                factor = U[p * width + k]
                for i in range(8):
                    y[8 * k + i] -= factor * y[8 * p + i]
        for i in range(n_lanes):
            out[first + i] = total[i]
