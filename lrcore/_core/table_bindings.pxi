# Tables as Python has them: columns in Arrow's layouts, and the matrix of their hashed rows.

cdef dict LAYOUTS = {
    "strings": STRINGS, "large_strings": LARGE_STRINGS, "string_views": STRING_VIEWS,
    "integers": INTEGERS, "codes": CODES, "numbers": NUMBERS,
}
cdef dict NUMBER_TYPES = {
    "int8": (INT8, 1), "int16": (INT16, 2), "int32": (INT32, 4), "int64": (INT64, 8),
    "uint8": (UINT8, 1), "uint16": (UINT16, 2), "uint32": (UINT32, 4), "uint64": (UINT64, 8),
    "float16": (FLOAT16, 2), "float32": (FLOAT32, 4), "float64": (FLOAT64, 8), "bits": (BITS, 0),
}
#: What went wrong, as Python is told.
cdef dict FAULTS = {
    TABLE_NO_MEMORY: "no memory", BAD_STRING: "a string that is not within its buffer",
    BAD_CODE: "a code that stands for no value", NOT_FINITE: "a number that is not finite",
}


cdef const uint8_t* bytes_at(const uint8_t[::1] buffer) noexcept:
    """Where the bytes of a buffer begin, NULL if it has none."""
    return &buffer[0] if buffer is not None and buffer.shape[0] else NULL


cdef int check_room(str what, const uint8_t[::1] buffer, int64_t needed) except -1:
    cdef int64_t found = 0 if buffer is None else buffer.shape[0]
    if found < needed:
        raise ValueError(f"the {what} of a column have {found} bytes, and need {needed}")


cdef class TableColumn:
    """n rows of a column from row `offset` of its buffers on, which are kept.

    What has to be given depends on the layout: for strings `text`, or for views `buffers`, and
    `prefix`, which is hashed before each; for integers `type` and the prefix; for codes `type` and
    `hashes`, those that codes from 0 on stand for; for numbers `type` and `hash`, that of the
    column. `missing` is the hash where `valid`, a bit for each row, is 0, and for numbers also
    where they are NaN; it is 0, as any other hash may be, for no feature.
    """
    cdef ColumnData c
    cdef readonly int64_t n
    cdef list kept

    def __init__(
        self, str layout, int64_t n, const uint8_t[::1] values, *, str type="int64",
        const uint8_t[::1] valid=None, int64_t offset=0, const uint8_t[::1] text=None, tuple buffers=(),
        const uint64_t[::1] hashes=None, bytes prefix=b"", uint64_t hash=0, uint64_t missing=0,
    ):
        memset(&self.c, 0, sizeof(ColumnData))
        if n < 0 or offset < 0:
            raise ValueError(f"a column has {n} rows from row {offset} on")
        cdef int64_t last = offset + n
        self.c.layout = LAYOUTS[layout]
        self.c.type, size = NUMBER_TYPES[type]
        if self.c.layout in (INTEGERS, CODES) and self.c.type in (FLOAT16, FLOAT32, FLOAT64):
            raise ValueError(f"{layout} cannot be {type}")
        if self.c.layout == STRING_VIEWS:
            needed = 16 * last
        elif self.c.layout in (STRINGS, LARGE_STRINGS):
            needed = (4 if self.c.layout == STRINGS else 8) * (last + 1)
        else:
            needed = size * last if size else (last + 7) // 8
        if n:
            check_room("values", values, needed)
            if valid is not None:
                check_room("bits", valid, (last + 7) // 8)
        self.n, self.c.offset = n, offset
        self.c.values, self.c.valid = bytes_at(values), bytes_at(valid)
        self.c.text, self.c.text_size = bytes_at(text), 0 if text is None else text.shape[0]
        self.kept = [values, valid, text, hashes, prefix, buffers]
        if hashes is not None and hashes.shape[0]:
            self.c.hashes, self.c.n_hashes = &hashes[0], hashes.shape[0]
        self.c.prefix = prefix_of(<const uint8_t*><const char*>prefix, len(prefix))
        self.c.hash, self.c.missing = hash, missing
        if buffers:
            self.set_buffers(buffers)

    cdef int set_buffers(self, tuple buffers) except -1:
        cdef Py_ssize_t i
        cdef const uint8_t[::1] buffer
        cdef uint64_t[::1] pointers = np_zeros(len(buffers) + 1, "u8")
        cdef int64_t[::1] sizes = np_zeros(len(buffers) + 1, "i8")
        for i in range(len(buffers)):
            buffer = buffers[i]
            pointers[i], sizes[i] = <size_t>bytes_at(buffer), buffer.shape[0]
        self.c.buffers, self.c.buffer_sizes = <const uint8_t* const*>&pointers[0], &sizes[0]
        self.c.n_buffers = len(buffers)
        self.kept += [pointers, sizes]


def hash_bytes(bytes text, uint64_t seed=0):
    """XXH64."""
    return xxh64(<const uint8_t*><const char*>text, len(text), seed)


cdef int raise_fault(const Fault* faults, int n_threads) except -1:
    """Raise the first fault of any thread as a ValueError with what it was, its column and its row."""
    cdef int part
    for part in range(n_threads):
        if faults[part].kind == TABLE_NO_MEMORY:
            raise MemoryError("no memory for the rows of a table")
        if faults[part].kind:
            raise ValueError(FAULTS[faults[part].kind], faults[part].column, faults[part].row)


cdef hash_one_column(Build build, TableColumn column, int n_threads):
    """The hashes of a column's rows, 0 where there is none."""
    cdef ColumnHashing job
    hashes = np_empty(column.n, "u8")
    cdef uint64_t[::1] room = hashes
    cdef Fault* faults = <Fault*>calloc(n_threads, sizeof(Fault))
    if faults is NULL:
        raise MemoryError("no memory for the hashes of a column")
    try:
        if column.n:
            job.column, job.n_rows, job.hashes, job.faults = &column.c, column.n, &room[0], faults
            with nogil:
                run(build.registry.hash_column, NULL, NULL, NULL, &job, n_threads)
            raise_fault(faults, n_threads)
    finally:
        free(faults)
    return hashes


cdef class TableRows:
    """What tables of one kind have in common: how many of each sort of column, and their crosses.

    parts are places among the categories, those of one cross behind those of another, and ends are
    where each cross ends among them. `most` is how many entries a row may have, without words.
    """
    cdef Table c
    cdef readonly int64_t most
    cdef int32_t[::1] parts
    cdef int64_t[::1] ends

    def __init__(
        self, uint32_t n_features, str dtype, int64_t n_numbers, int64_t n_categories,
        int64_t n_features_of_categories, int32_t[::1] parts, int64_t[::1] ends,
    ):
        cdef Py_ssize_t i, before = 0
        memset(&self.c, 0, sizeof(Table))
        if not 0 < n_features < (<uint32_t>1 << 31):
            raise ValueError(f"a matrix cannot have {n_features} features")
        if not 0 <= n_features_of_categories <= n_categories:
            raise ValueError(f"of {n_categories} categories {n_features_of_categories} are features")
        for i in range(ends.shape[0]):
            if not before <= ends[i] <= parts.shape[0]:
                raise ValueError(f"cross {i} ends at {ends[i]} of {parts.shape[0]} parts")
            before = ends[i]
        for i in range(parts.shape[0]):
            if not 0 <= parts[i] < n_categories:
                raise ValueError(f"part {i} of the crosses is category {parts[i]} of {n_categories}")
        self.c.n_features, self.c.single = n_features, dtype == "f"
        self.c.n_numbers, self.c.n_categories = n_numbers, n_categories
        self.c.n_features_of_categories = n_features_of_categories
        self.most = n_numbers + n_features_of_categories + ends.shape[0]
        self.parts, self.ends = parts, ends
        if ends.shape[0]:
            self.c.parts, self.c.cross_ends = &parts[0], &ends[0]
            self.c.n_crosses = ends.shape[0]


cdef int copy_columns(list columns, int64_t n, int64_t stop, list layouts, ColumnData* to) except -1:
    """The columns side by side, which is how the kernel wants them."""
    cdef TableColumn column
    cdef Py_ssize_t i
    if len(columns) != n:
        raise ValueError(f"there are {len(columns)} columns of a sort, not {n}")
    for i in range(n):
        column = columns[i]
        if column.n < stop:
            raise ValueError(f"column {i} has {column.n} rows, not {stop}")
        if column.c.layout not in layouts:
            raise ValueError(f"column {i} has the layout of another sort of column")
        to[i] = column.c


cdef int set_words(list texts, int64_t n, Words* to) except -1:
    """CSR rows of words, of which nothing is read that is not there."""
    cdef const int64_t[::1] indptr
    cdef const int32_t[::1] indices
    cdef const double[::1] counts
    cdef Py_ssize_t i, k
    for k in range(len(texts)):
        indptr, indices, counts = texts[k]
        if indptr.shape[0] != n + 1 or indices.shape[0] != counts.shape[0]:
            raise ValueError(f"text {k} does not have the rows of {n} documents")
        for i in range(n):
            if not 0 <= indptr[i] <= indptr[i + 1] <= indices.shape[0]:
                raise ValueError(f"row {i} of text {k} is not within its words")
        to[k].indptr = &indptr[0]
        to[k].indices = &indices[0] if indices.shape[0] else NULL
        to[k].counts = &counts[0] if counts.shape[0] else NULL


cdef hash_table(
    Build build, TableRows rows, list numbers, list categories, list texts, int64_t first, int64_t n,
    int32_t[::1] indices, values, int n_threads,
):
    """Rows `first` to `first + n` of a table as those of a CSR matrix, sorted and without duplicates,
    into indices and values, of the dtype of the rows; returns indptr.

    numbers and categories are columns, texts (indptr, indices, counts) of these rows alone, whose
    indices are below n_features. There has to be room for `TableRows.most` entries of each row, and
    the words.

    Raises ValueError(what, column, row) for what a column holds, where categories count after
    numbers.
    """
    cdef TableHashing job
    cdef int64_t[::1] indptr = np_zeros(n + 1, "i8")
    cdef int64_t i, room, size
    cdef int part
    if first < 0 or n < 0:
        raise ValueError(f"a table has no rows {first} to {first + n}")
    job.table = rows.c
    cdef int64_t n_columns = job.table.n_numbers + job.table.n_categories
    cdef ColumnData* columns = <ColumnData*>calloc(n_columns + 1, sizeof(ColumnData))
    cdef Words* of_texts = <Words*>calloc(len(texts) + 1, sizeof(Words))
    cdef Fault* faults = <Fault*>calloc(n_threads, sizeof(Fault))
    cdef int64_t* places = <int64_t*>calloc(2 * n_threads, sizeof(int64_t))
    try:
        if columns is NULL or of_texts is NULL or faults is NULL or places is NULL:
            raise MemoryError("no memory for the columns of a table")
        copy_columns(numbers, job.table.n_numbers, first + n, [NUMBERS], columns)
        copy_columns(
            categories, job.table.n_categories, first + n,
            [STRINGS, LARGE_STRINGS, STRING_VIEWS, INTEGERS, CODES], columns + job.table.n_numbers,
        )
        set_words(texts, n, of_texts)
        job.table.numbers, job.table.categories = columns, columns + job.table.n_numbers
        job.table.texts, job.table.n_texts = of_texts, len(texts)
        job.first, job.n_rows, job.faults = first, n, faults
        job.starts, job.counts = places, places + n_threads
        job.row_room = rows.most
        room = n * job.row_room
        for i in range(job.table.n_texts):
            room += of_texts[i].indptr[n] - of_texts[i].indptr[0]
        size = sizeof(float) if job.table.single else sizeof(double)
        if (type_of(values) == cnp.NPY_FLOAT) != bool(job.table.single):
            raise TypeError(f"the values of a table are of another dtype than {values.dtype}")
        if indices.shape[0] < room or values.shape[0] < room:
            raise ValueError(f"rows may have {room} entries, and there is room for {indices.shape[0]}")
        job.values = address(values, type_of(values))
        if n and room:
            job.indices, job.sizes = &indices[0], &indptr[1]
            with nogil:
                run(build.registry.hash_table, NULL, NULL, NULL, &job, n_threads)
        raise_fault(faults, n_threads)
        room = 0
        for part in range(n_threads):
            if job.starts[part] != room:
                memmove(
                    job.indices + room, job.indices + job.starts[part], job.counts[part] * sizeof(int32_t)
                )
                memmove(
                    <char*>job.values + room * size, <char*>job.values + job.starts[part] * size,
                    job.counts[part] * size,
                )
            room += job.counts[part]
    finally:
        free(columns)
        free(of_texts)
        free(faults)
        free(places)
    for i in range(n):
        indptr[i + 1] += indptr[i]
    return np_asarray(indptr)
