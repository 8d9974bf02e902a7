# Hashed tables: columns to the rows of a CSR matrix.


cdef void hash_table(
    void* a, void* b, void* c, TableHashing* job, int part, int parts
) noexcept nogil:
    """A thread's rows of a piece, from where its share of the room begins."""
    cdef int64_t start = cut(job.n_rows, part, parts), stop = cut(job.n_rows, part + 1, parts)
    cdef int64_t before = start * job.row_room, k
    cdef Py_ssize_t size = sizeof(float) if job.table.single else sizeof(double)
    keep_subnormals()
    for k in range(job.table.n_texts):
        before += job.table.texts[k].indptr[start] - job.table.texts[k].indptr[0]
    job.starts[part] = before
    job.counts[part] = hash_table_rows(
        &job.table, job.first, start, stop, job.indices + before, <char*>job.values + before * size,
        job.sizes, &job.faults[part],
    )


cdef void hash_column(
    void* a, void* b, void* c, ColumnHashing* job, int part, int parts
) noexcept nogil:
    """The hashes of a thread's rows of a column."""
    cdef int64_t start = cut(job.n_rows, part, parts), stop = cut(job.n_rows, part + 1, parts)
    cdef Fault* fault = &job.faults[part]
    fault.kind = hash_column_rows(job.column, start, stop - start, job.hashes + start, &fault.row)
    fault.row += start
