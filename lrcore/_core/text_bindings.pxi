# Text as Python has it: what the kernels of text.pxi are told, and the matrix that comes back.

cdef extern from "Python.h":
    bint is_compact_ascii "PyUnicode_IS_COMPACT_ASCII"(object text) noexcept
    const uint8_t* ascii_data "PyUnicode_1BYTE_DATA"(object text) noexcept
    Py_ssize_t text_length "PyUnicode_GET_LENGTH"(object text) noexcept


def pack(list documents, encode):
    """Documents in one piece: their bytes, where they begin and the last one ends, and which of them
    `encode(number, document)` has given: all that are not a `str` of ASCII characters.
    """
    cdef Py_ssize_t i, length, n = len(documents), total = 0
    cdef list kept = [None] * n
    cdef int64_t[::1] offsets = np_empty(n + 1, "i8")
    cdef uint8_t[::1] encoded = np_zeros(n, "u1")
    offsets[0] = 0
    for i in range(n):
        document = documents[i]
        if type(document) is str and is_compact_ascii(document):
            total += text_length(document)
        else:
            document = <bytes?>encode(i, document)
            encoded[i] = True
            total += len(<bytes>document)
        kept[i] = document
        offsets[i + 1] = total
    cdef cnp.ndarray text = np_empty(total, "u1")
    cdef char* to = <char*>cnp.PyArray_DATA(text)
    for i in range(n):
        document, length = kept[i], offsets[i + 1] - offsets[i]
        if encoded[i]:
            memcpy(to + offsets[i], <const char*><bytes>document, length)
        else:
            memcpy(to + offsets[i], ascii_data(document), length)
    return text, np_asarray(offsets), np_asarray(encoded)


def pack_views(const uint8_t[:, ::1] views, list buffers):
    """Strings of Arrow's view layout in one piece: their bytes, where they begin and the last one ends.

    A view has sixteen bytes: the length, and then the string if it has at most twelve, else the number
    of its buffer and its place there, of four bytes each, in the last eight.
    """
    cdef Py_ssize_t i, n = views.shape[0]
    cdef int64_t length, total = 0
    cdef int32_t[4] view
    cdef int64_t[::1] offsets = np_empty(n + 1, "i8")
    cdef const uint8_t[::1] buffer
    offsets[0] = 0
    for i in range(n):
        memcpy(view, &views[i, 0], 16)
        if view[0] < 0:
            raise ValueError(f"string {i} of an Arrow array has {view[0]} bytes")
        total += view[0]
        offsets[i + 1] = total
    text = np_empty(total, "u1")
    cdef uint8_t* to = <uint8_t*>cnp.PyArray_DATA(<cnp.ndarray>text)
    cdef int32_t held = -1
    for i in range(n):
        memcpy(view, &views[i, 0], 16)
        length = view[0]
        if length <= 12:
            memcpy(to + offsets[i], &views[i, 4], length)
            continue
        if view[2] != held:
            if not 0 <= view[2] < len(buffers):
                raise ValueError(f"string {i} of an Arrow array is in buffer {view[2]} of {len(buffers)}")
            held, buffer = view[2], buffers[view[2]]
        if view[3] < 0 or view[3] + length > buffer.shape[0]:
            raise ValueError(f"string {i} of an Arrow array is not within its buffer")
        memcpy(to + offsets[i], &buffer[view[3]], length)
    return text, np_asarray(offsets)


cdef class TextHasher:
    """How documents are hashed. Everything has been checked, and what is pointed to is kept.

    in_class is a byte for every ASCII character, 1 for those of a token, or of blanks where
    characters are counted; wide_class, the same of all code points as bits, lowest first, is needed
    if a document is not ASCII. stop_words are UTF-8. Columns are counted from first_column on, and
    after the last one from 0.
    """
    cdef TextOptions c
    cdef list kept

    def __init__(
        self, *, str analyzer, bint lowercase, int64_t min_n, int64_t max_n, size_t min_length,
        const uint8_t[::1] in_class, const uint8_t[::1] wide_class, list stop_words,
        uint32_t n_features, uint32_t first_column, bint alternate_sign,
    ):
        memset(&self.c, 0, sizeof(TextOptions))
        self.c.analyzer = {"word": WORDS, "char": CHARS, "char_wb": CHARS_OF_WORDS}[analyzer]
        self.c.lowercase, self.c.min_length = lowercase, min_length
        self.c.min_n, self.c.max_n = min_n, max_n
        if not first_column < n_features:
            raise ValueError(f"first_column must be one of {n_features}, got {first_column}")
        self.c.columns = columns_of(n_features, first_column, alternate_sign)
        self.kept = [wide_class]
        if wide_class is not None:
            if wide_class.shape[0] * 8 < 0x110000:
                raise ValueError("a class of characters needs a bit for every code point")
            self.c.in_class = &wide_class[0]
        self.set_ranges(in_class)
        if stop_words:
            self.set_stop_words(stop_words)

    cdef int set_ranges(self, const uint8_t[::1] in_class) except -1:
        """Ranges of the ASCII characters that are in the class: at most 64 of 128 can be apart."""
        cdef int c
        if in_class.shape[0] != 128:
            raise ValueError("a class of characters needs a byte for each ASCII character")
        for c in range(128):
            if in_class[c] and (c == 0 or not in_class[c - 1]):
                self.c.first[self.c.n_ranges] = c
                self.c.n_ranges += 1
            if in_class[c]:
                self.c.last[self.c.n_ranges - 1] = c

    cdef int set_stop_words(self, list words) except -1:
        """The words side by side, and a table of their numbers, at most half full, by hash."""
        cdef Py_ssize_t i, n = len(words), size = 4
        cdef uint32_t slot
        while size < 2 * n:
            size *= 2
        cdef uint8_t[::1] text = bytearray(b"".join(words) + b" ")
        cdef int64_t[::1] bounds = np_zeros(n + 1, "i8")
        cdef int32_t[::1] table = np_empty(size, "i4")
        table[:] = -1
        for i in range(n):
            bounds[i + 1] = bounds[i] + len(words[i])
            slot = murmur3(&text[bounds[i]], len(words[i]))
            while table[slot & (size - 1)] >= 0:
                slot += 1
            table[slot & (size - 1)] = <int32_t>i
            self.c.stop_lengths[text[bounds[i]]] |= <uint32_t>1 << min(len(words[i]), 31)
        self.kept += [text, bounds, table]
        self.c.stop_text, self.c.stop_bounds = &text[0], &bounds[0]
        self.c.stop_table, self.c.stop_mask = &table[0], <uint32_t>(size - 1)


cdef class CountedRows:
    """Rows of counts, as threads have made them, until they are written as rows of a CSR matrix. Their
    memory is used again for the next ones.

    indptr, int64, says where each row begins and the last one ends; n_terms is how many terms there
    were before equal ones were summed.
    """
    cdef CountRows* parts
    cdef int n_parts
    cdef readonly object indptr
    cdef readonly object n_terms

    def __cinit__(self):
        self.parts, self.n_parts = NULL, 0

    def __dealloc__(self):
        cdef int p
        for p in range(self.n_parts):
            free_rows(&self.parts[p])
        free(self.parts)

    cdef int begin(self, int n_threads) except -1:
        """No rows, and a part for each thread."""
        cdef int p
        cdef void* parts = self.parts
        cdef size_t room = self.n_parts
        if not reserve(&parts, &room, n_threads, sizeof(CountRows)):
            raise MemoryError("no memory for the rows of threads")
        self.parts = <CountRows*>parts
        if self.n_parts < n_threads:
            memset(self.parts + self.n_parts, 0, (n_threads - self.n_parts) * sizeof(CountRows))
            self.n_parts = n_threads
        for p in range(self.n_parts):
            self.parts[p].size = self.parts[p].n_terms = self.parts[p].failed = 0

    cdef int end(self, const int64_t[::1] row_sizes) except -1:
        """Rows of so many columns are there; row_sizes has one element more."""
        cdef int p
        cdef Py_ssize_t i
        cdef int64_t[::1] indptr = np_zeros(row_sizes.shape[0], "i8")
        cdef uint64_t n_terms = 0
        for p in range(self.n_parts):
            n_terms += self.parts[p].n_terms
        for i in range(row_sizes.shape[0] - 1):
            indptr[i + 1] = indptr[i] + row_sizes[i]
        self.indptr, self.n_terms = np_asarray(indptr), n_terms

    cdef int write(
        self, Build build, indices, values, bint binary, int norm, int n_threads
    ) except -1:
        """The rows as indices, int32, and values, float32 or float64: counts, or all 1 if `binary`,
        over their norm, of order `norm`, 0 for none."""
        cdef CountsToValues job
        cdef const int64_t[::1] indptr = self.indptr
        cdef Py_ssize_t n = indptr.shape[0] - 1
        cdef int type_num = type_of(values)
        cdef Worker worker = build.kernels(type_num).counts_to_values
        cdef void* to = address(values, type_num)
        if not len(indices) == len(values) == indptr[n]:
            raise ValueError(f"{indptr[n]} values need as much room, got {len(indices)}, {len(values)}")
        job.indices = <int32_t*>address(indices, cnp.NPY_INT32)
        job.parts, job.n_parts, job.indptr, job.n_rows = self.parts, self.n_parts, &indptr[0], n
        job.binary, job.norm = binary, norm
        with nogil:
            run(worker, NULL, NULL, to, &job, n_threads)


cdef int hash_documents_into(
    Build build, CountedRows rows, TextHasher hasher, const uint8_t[::1] text,
    const int64_t[::1] offsets, const uint8_t[::1] as_is, int n_threads,
) except -1:
    """Documents as rows of counts.

    offsets are where the documents begin in text, in UTF-8, and where the last one ends; as_is, a byte
    for each or None, says which are in lower case already.

    Raises UnicodeDecodeError if a document is not UTF-8.
    """
    cdef TextHashing job
    cdef Py_ssize_t n = offsets.shape[0] - 1, i
    cdef int64_t most = text.shape[0], length
    cdef int p
    cdef int64_t[::1] row_sizes = np_zeros(max(n, 0) + 1, "i8")
    cdef uint8_t nothing = 0
    if n < 0:
        raise ValueError("offsets need the end of the last document")
    for i in range(n):
        length = offsets[i + 1] - offsets[i]
        if not 0 <= offsets[i] <= offsets[i + 1] <= most:
            raise ValueError(f"document {i} is not within the text: {offsets[i]} to {offsets[i + 1]}")
        if length > <int64_t>LONGEST:
            raise ValueError(f"document {i} has {length} bytes, more than {LONGEST}")
    if as_is is not None and as_is.shape[0] != n:
        raise ValueError(f"{as_is.shape[0]} documents are said to be in lower case or not, of {n}")
    rows.begin(n_threads)
    job.options, job.documents.offsets, job.documents.n = &hasher.c, &offsets[0], n
    job.documents.text = &text[0] if most else &nothing
    job.documents.as_is = &as_is[0] if as_is is not None and n else NULL
    job.parts, job.row_sizes = rows.parts, &row_sizes[0]
    with nogil:
        run(build.registry.hash_text, NULL, NULL, NULL, &job, n_threads)
    for p in range(n_threads):
        i = rows.parts[p].row
        if rows.parts[p].failed == NOT_UTF8:
            bytes(text[offsets[i]:offsets[i + 1]]).decode()
        if rows.parts[p].failed:
            raise MemoryError(f"no memory for the terms of document {i}")
    rows.end(row_sizes)


# ---- features with names of Python ---------------------------------------------------------------


cdef class Terms:
    """Keys of terms, and their values, of rows that are read one after another."""
    cdef Columns columns
    cdef uint32_t* keys
    cdef double* values
    cdef size_t n, key_room, value_room
    cdef list indptr

    def __cinit__(self, uint32_t n_features, bint alternate_sign):
        self.columns = columns_of(n_features, 0, alternate_sign)
        self.indptr = [0]

    def __dealloc__(self):
        free(self.keys)
        free(self.values)

    cdef int add(self, name) except -1:
        """The key of a feature's name, str or bytes."""
        cdef Py_ssize_t length
        cdef const uint8_t* text
        if not reserve(<void**>&self.keys, &self.key_room, self.n + 1, sizeof(uint32_t)):
            raise MemoryError("no memory for the keys of features")
        if isinstance(name, str):
            if is_compact_ascii(name):
                text, length = ascii_data(name), text_length(name)
            else:
                name = (<str>name).encode("utf-8")
                text, length = <const uint8_t*><const char*><bytes>name, len(<bytes>name)
        elif isinstance(name, bytes):
            text, length = <const uint8_t*><const char*><bytes>name, len(<bytes>name)
        else:
            raise TypeError("feature names must be strings")
        self.keys[self.n] = key_of(&self.columns, murmur3(text, length))
        self.n += 1

    cdef int add_pair(self, name, value) except -1:
        """A feature and its value; a str is a category, which counts once, and 0 is nothing."""
        cdef double number = 1.0
        if isinstance(value, str):
            name = "%s%s%s" % (name, "=", value)
        else:
            number = value
        if number == 0:
            return 0
        if not reserve(<void**>&self.values, &self.value_room, self.n + 1, sizeof(double)):
            raise MemoryError("no memory for the values of features")
        self.values[self.n] = number
        self.add(name)

    cdef tuple arrays(self):
        """Keys, values of pairs, and where rows begin and the last one ends."""
        keys = np_empty(self.n, "u4")
        values = np_empty(self.n if self.values is not NULL else 0)
        if self.n:
            memcpy(cnp.PyArray_DATA(<cnp.ndarray>keys), self.keys, self.n * sizeof(uint32_t))
        if self.n and self.values is not NULL:
            memcpy(cnp.PyArray_DATA(<cnp.ndarray>values), self.values, self.n * sizeof(double))
        return keys, values, np_asarray(self.indptr, "i8")


def hash_strings(rows, uint32_t n_features, bint alternate_sign):
    """Keys of rows of names, and where rows begin and the last one ends.

    A key is twice the column, and 1 more if the name counts as -1.
    """
    cdef Terms terms = Terms(n_features, alternate_sign)
    for row in rows:
        for name in row:
            terms.add(name)
        terms.indptr.append(terms.n)
    keys, _, indptr = terms.arrays()
    return keys, indptr


def hash_pairs(rows, uint32_t n_features, bint alternate_sign):
    """Keys and values of rows of (name, value), or dicts, and where rows begin and the last one
    ends; zeros are left out."""
    cdef Terms terms = Terms(n_features, alternate_sign)
    for row in rows:
        if type(row) is dict:
            for name, value in (<dict>row).items():
                terms.add_pair(name, value)
        else:
            for name, value in row:
                terms.add_pair(name, value)
        terms.indptr.append(terms.n)
    return terms.arrays()


cdef struct KeyCounting:
    uint32_t* keys
    uint32_t* spare             # as many
    const int64_t* indptr
    int64_t n_rows
    Columns columns
    CountRows* parts
    int64_t* row_sizes


cdef void count_part(void* a, void* b, void* c, KeyCounting* job, int part, int parts) noexcept nogil:
    """Rows of counts of a thread's rows of keys."""
    cdef CountRows* rows = &job.parts[part]
    cdef int64_t i, start
    cdef size_t before
    for i in range(cut(job.n_rows, part, parts), cut(job.n_rows, part + 1, parts)):
        before, start = rows.size, job.indptr[i]
        rows.failed = append_row(
            rows, job.keys + start, job.spare + start, job.indptr[i + 1] - start, &job.columns
        )
        if rows.failed:
            return
        job.row_sizes[i] = rows.size - before


cdef int count_keys_into(
    CountedRows rows, uint32_t[::1] keys, const int64_t[::1] indptr, uint32_t n_features,
    int n_threads,
) except -1:
    """Rows of keys, which are overwritten, as rows of counts; indptr is where they begin and end."""
    cdef KeyCounting job
    cdef Py_ssize_t i, n = indptr.shape[0] - 1
    cdef int p
    cdef int64_t[::1] row_sizes = np_zeros(max(n, 0) + 1, "i8")
    cdef uint32_t[::1] spare = np_empty(keys.shape[0] + 1, "u4")
    if n < 0:
        raise ValueError("indptr needs the end of the last row")
    for i in range(n):
        if not 0 <= indptr[i] <= indptr[i + 1] <= keys.shape[0]:
            raise ValueError(f"row {i} is not within the keys: {indptr[i]} to {indptr[i + 1]}")
        if indptr[i + 1] - indptr[i] > <int64_t>MOST_KEYS:
            raise ValueError(f"row {i} has {indptr[i + 1] - indptr[i]} terms, more than {MOST_KEYS}")
    rows.begin(n_threads)
    job.spare, job.keys = &spare[0], &keys[0] if keys.shape[0] else &spare[0]
    job.indptr, job.n_rows, job.parts, job.row_sizes = &indptr[0], n, rows.parts, &row_sizes[0]
    job.columns = columns_of(n_features, 0, True)
    with nogil:
        run(<Worker>&count_part, NULL, NULL, NULL, &job, n_threads)
    for p in range(n_threads):
        if rows.parts[p].failed:
            raise MemoryError("no memory for rows of counts")
    rows.end(row_sizes)
