# Hashed text: documents to rows of counts, and those to the rows of a CSR matrix.


cdef inline int64_t first_ending_after(const int64_t* offsets, int64_t n, int64_t place) noexcept nogil:
    """The first of n documents that ends behind this place in the text."""
    cdef int64_t low = 0, high = n, middle
    while low < high:
        middle = (low + high) // 2
        if offsets[middle + 1] > place:
            high = middle
        else:
            low = middle + 1
    return low


cdef inline int64_t document_cut(const TextHashing* job, int part, int parts) noexcept nogil:
    """The document with which a part begins, so that each has about as much text."""
    cdef const int64_t* offsets = job.documents.offsets
    cdef int64_t n = job.documents.n, start = offsets[0], length = offsets[n] - start
    if part == 0:
        return 0
    if part == parts:
        return n
    return first_ending_after(offsets, n, start + length // parts * part)


cdef void hash_text(
    void* a, void* b, void* c, TextHashing* job, int part, int parts
) noexcept nogil:
    """Rows of counts of a thread's documents."""
    hash_documents(
        job.options, &job.documents, document_cut(job, part, parts),
        document_cut(job, part + 1, parts), &job.parts[part], job.row_sizes,
    )


cdef inline double norm_of_counts(
    const CountsToValues* job, const int32_t* counts, Py_ssize_t n, real* dtype
) noexcept nogil:
    """The norm of a row of counts, 0 for none.

    Sums are of integers, exact in any order: rows have at most 2**26 terms. But squares that float32
    does not have are rounded to it first.
    """
    cdef int64_t total = 0
    cdef double rounded = 0.0
    cdef Py_ssize_t k
    if job.norm == 0:
        return 0.0
    if job.binary:
        return <double>n if job.norm == 1 else sqrt(<double>n)
    if job.norm == 1:
        for k in range(n):
            total += counts[k] if counts[k] >= 0 else -counts[k]
        return <double>total
    for k in range(n):
        total += <int64_t>counts[k] * counts[k]
    if real is float:
        if total > 1 << 24:
            for k in range(n):
                rounded += <real>counts[k] * <real>counts[k]
            return sqrt(rounded)
    return sqrt(<double>total)


cdef inline void fill_row(
    const CountsToValues* job, const int32_t* counts, Py_ssize_t n, real* values
) noexcept nogil:
    """Counts over their norm, a double, rounded to the values' dtype."""
    cdef double norm = norm_of_counts(job, counts, n, values)
    cdef Py_ssize_t k
    if norm == 0.0:
        norm = 1.0
    if job.binary:
        for k in range(n):
            values[k] = <real>(1.0 / norm)
    else:
        for k in range(n):
            values[k] = <real>(counts[k] / norm)


cdef void counts_to_values(
    void* a, void* b, real* values, CountsToValues* job, int part, int parts
) noexcept nogil:
    """The rows of the matrix of a thread's parts."""
    cdef const CountRows* rows
    cdef int64_t row, start, first_value = 0
    cdef int p
    keep_subnormals()
    for p in range(job.n_parts):
        rows = &job.parts[p]
        start = first_value
        first_value += rows.size
        if p % parts != part or rows.size == 0:
            continue
        memcpy(job.indices + start, rows.columns, rows.size * sizeof(int32_t))
        row = first_ending_after(job.indptr, job.n_rows, start)
        while row < job.n_rows and job.indptr[row] < first_value:
            fill_row(
                job, rows.counts + (job.indptr[row] - start), job.indptr[row + 1] - job.indptr[row],
                values + job.indptr[row],
            )
            row += 1
