# Text as Python has it: what the kernels of text.pxi are told, and the matrix that comes back.

cdef extern from "Python.h":
    bint is_compact_ascii "PyUnicode_IS_COMPACT_ASCII"(object text) noexcept
    const char* ascii_data "PyUnicode_1BYTE_DATA"(object text) noexcept
    Py_ssize_t text_length "PyUnicode_GET_LENGTH"(object text) noexcept


def pack(list documents, encode):
    """Documents in one piece: their bytes, where they begin and the last one ends, and whether all are
    ASCII.

    `encode(number, document)` gives the UTF-8 of those that are not a `str` of ASCII characters.
    """
    cdef Py_ssize_t i, length, n = len(documents), total = 0
    cdef list kept = [None] * n
    cdef int64_t[::1] offsets = np_empty(n + 1, "i8")
    cdef bint ascii = True
    cdef bytes encoded
    offsets[0] = 0
    for i in range(n):
        document = documents[i]
        if type(document) is str and is_compact_ascii(document):
            kept[i] = document
            total += text_length(document)
        else:
            encoded = encode(i, document)
            ascii = ascii and encoded.isascii()
            kept[i] = encoded
            total += len(encoded)
        offsets[i + 1] = total
    cdef cnp.ndarray text = np_empty(total, "u1")
    cdef char* to = <char*>cnp.PyArray_DATA(text)
    for i in range(n):
        document = kept[i]
        length = offsets[i + 1] - offsets[i]
        if type(document) is str:
            memcpy(to + offsets[i], ascii_data(document), length)
        else:
            memcpy(to + offsets[i], <const char*><bytes>document, length)
    return text, np_asarray(offsets), ascii


cdef class TextHasher:
    """How documents are hashed. Everything has been checked, and what is pointed to is kept.

    in_class is a byte for every ASCII character, 1 for those of a token, or of blanks where
    characters are counted; wide_class, the same of all code points as bits, lowest first, is needed
    if a document is not ASCII. stop_words are UTF-8.
    """
    cdef TextOptions c
    cdef list kept

    def __init__(
        self, *, str analyzer, bint lowercase, int64_t min_n, int64_t max_n, size_t min_length,
        const uint8_t[::1] in_class, const uint8_t[::1] wide_class, list stop_words,
        uint32_t n_features, bint alternate_sign,
    ):
        memset(&self.c, 0, sizeof(TextOptions))
        self.c.analyzer = {"word": WORDS, "char": CHARS, "char_wb": CHARS_OF_WORDS}[analyzer]
        self.c.lowercase, self.c.min_length = lowercase, min_length
        self.c.min_n, self.c.max_n = min_n, max_n
        self.c.columns = columns_of(n_features, alternate_sign)
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


cdef hash_text(
    Build build, TextHasher hasher, const uint8_t[::1] text, const int64_t[::1] offsets, str dtype,
    bint binary, int norm, int n_threads,
):
    """Documents as rows of a CSR matrix: indptr, int64, indices, int32, sorted, and values, of dtype
    "f" or "d"; and the number of terms before equal ones were summed.

    offsets are where the documents begin in text, in UTF-8, and where the last one ends. Values
    are counts, or all 1 if `binary`, over their norm, of order `norm`, 0 for none.

    Raises UnicodeDecodeError if a document is not UTF-8.
    """
    cdef TextHashing job
    cdef CountsToValues end
    cdef Py_ssize_t n = offsets.shape[0] - 1, i
    cdef int64_t most = text.shape[0], total = 0
    cdef int p
    cdef uint64_t n_terms = 0
    cdef int64_t[::1] row_sizes = np_zeros(n + 1, "i8")
    cdef int64_t[::1] indptr = np_empty(n + 1, "i8")
    cdef uint8_t nothing = 0
    if n < 0:
        raise ValueError("offsets need the end of the last document")
    for i in range(n):
        if not 0 <= offsets[i] <= offsets[i + 1] <= most:
            raise ValueError(f"document {i} is not within the text: {offsets[i]} to {offsets[i + 1]}")
        if offsets[i + 1] - offsets[i] > <int64_t>LONGEST:
            raise ValueError(f"document {i} has {offsets[i + 1] - offsets[i]} bytes, more than {LONGEST}")
    cdef CountRows* parts = <CountRows*>calloc(n_threads, sizeof(CountRows))
    if parts is NULL:
        raise MemoryError("no memory for the rows of threads")
    try:
        job.options, job.offsets, job.n_documents = &hasher.c, &offsets[0], n
        job.text = &text[0] if most else &nothing
        job.parts, job.row_sizes = parts, &row_sizes[0]
        with nogil:
            run(build.registry.hash_text, NULL, NULL, NULL, &job, n_threads)
        for p in range(n_threads):
            i = parts[p].row
            if parts[p].failed == NOT_UTF8:
                bytes(text[offsets[i]:offsets[i + 1]]).decode()
            if parts[p].failed:
                raise MemoryError(f"no memory for the terms of document {i}")
            total += parts[p].size
            n_terms += parts[p].n_terms
        indptr[0] = 0
        for i in range(n):
            indptr[i + 1] = indptr[i] + row_sizes[i]
        indices, values = np_empty(total, "i4"), np_empty(total, dtype)
        end.parts, end.n_parts, end.indptr, end.n_rows = parts, n_threads, &indptr[0], n
        end.indices = <int32_t*>address(indices, cnp.NPY_INT32)
        end.binary, end.norm = binary, norm
        fill_values(build, &end, values, n_threads)
    finally:
        for p in range(n_threads):
            free_rows(&parts[p])
        free(parts)
    return np_asarray(indptr), indices, values, n_terms


cdef int fill_values(Build build, CountsToValues* job, values, int n_threads) except -1:
    cdef void* to = address(values, type_of(values))
    cdef Worker worker = build.kernels(type_of(values)).counts_to_values
    with nogil:
        run(worker, NULL, NULL, to, job, n_threads)
