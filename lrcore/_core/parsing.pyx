# Text as arrays, and rows as text: see svmlight.h, vw.h and decimals.h. Compiled once, for any processor.
cimport numpy as cnp

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from numpy import empty as np_empty

cnp.import_array()

cdef extern from "numbers.h" nogil:
    enum:
        LEAST_POWER "LR_LEAST_POWER"
        MOST_POWER "LR_MOST_POWER"
    uint64_t[1][2] powers "lr_powers"
    ctypedef void* Locale "locale_t"
    Locale c_locale "lr_c_locale"
    Locale newlocale(int mask, const char* name, Locale base)
    int LC_ALL_MASK
    const char* c_number "lr_number"(const char* p, const char* end, double* out)

cdef extern from "svmlight.h" nogil:
    ctypedef struct SvmlightFound "lr_svmlight_found":
        int64_t rows, values, labels, skipped
        const char* bad
        const char* below
        const char* with_qid
        const char* without_qid

    ctypedef struct Svmlight "lr_svmlight":
        int is_double, multilabel, skip
        int32_t first_index
        void* data
        int32_t* indices
        int64_t* indptr
        int64_t* label_indptr
        int64_t* qids
        double* labels

    void svmlight_sizes "lr_svmlight_sizes"(
        const char* p, const char* end, int multilabel, int64_t* sizes
    )
    void svmlight_parse "lr_svmlight_parse"(
        const char* p, const char* end, const Svmlight* to, SvmlightFound* found
    )


cdef int begin() except -1:
    """Fill the table of powers of ten, and open the C locale."""
    global c_locale
    cdef object one = 1, five, bits
    cdef int q
    for q in range(LEAST_POWER, MOST_POWER + 1):
        # The first 128 bits of 5**q, cut off; or the next above, for those powers below 1 by which a
        # product of 128 bits can be told from an exact quotient.
        five = (one * 5) ** abs(q)
        if q >= 0:
            bits = (five << 128) >> five.bit_length()
        else:
            bits = (one << five.bit_length() + 127) // five + (q >= -27)
        powers[q - LEAST_POWER][0] = bits >> 64
        powers[q - LEAST_POWER][1] = bits & 0xffffffffffffffff
    c_locale = newlocale(LC_ALL_MASK, "C", NULL)
    if c_locale == NULL:
        raise OSError("the C library has no locale C")
    return 0


begin()


def number(const unsigned char[::1] text):
    """The float64 that a text begins with, and how many bytes it takes; None if it is none."""
    cdef double value = 0.0
    cdef const char* start = <const char*>&text[0] if text.shape[0] else NULL
    cdef const char* p = c_number(start, start + text.shape[0], &value)
    return None if p == NULL else (value, p - start)


cdef void* address(array) noexcept:
    """Where the numbers of an array begin that was made here."""
    return cnp.PyArray_DATA(<cnp.ndarray>array)


cdef object place(const char* p, const char* start):
    return None if p == NULL else p - start


def parse_svmlight(
    const unsigned char[::1] text, str dtype, bint multilabel, int32_t first_index, bint skip
):
    """The arrays of whole lines of svmlight text.

    dtype is that of the values, "f" or "d"; a smaller index than first_index is an error; with skip,
    lines that are not valid are left out.

    Returns data, indices, indptr, labels, label_indptr (None if each row has one label) and qids (0
    where there is none); then places in the text: of the first line that is not valid, of the first
    with an index below first_index, of the first rows with a qid and without one, each None if there
    is no such line; then how many lines were left out. The arrays end before the first bad line.
    """
    cdef Svmlight to
    cdef SvmlightFound found
    cdef int64_t[3] sizes
    cdef const char* start = <const char*>&text[0] if text.shape[0] else NULL
    cdef const char* end = start + text.shape[0]
    with nogil:
        svmlight_sizes(start, end, multilabel, sizes)
    data, indices = np_empty(sizes[1], dtype), np_empty(sizes[1], "i")
    indptr, qids = np_empty(sizes[0] + 1, "q"), np_empty(sizes[0], "q")
    label_indptr = np_empty(sizes[0] + 1, "q") if multilabel else None
    labels = np_empty(sizes[2], "d")
    to.is_double, to.multilabel, to.skip = dtype == "d", multilabel, skip
    to.first_index = first_index
    to.data, to.indices = address(data), <int32_t*>address(indices)
    to.indptr, to.qids = <int64_t*>address(indptr), <int64_t*>address(qids)
    to.label_indptr = <int64_t*>address(label_indptr) if multilabel else NULL
    to.labels = <double*>address(labels)
    with nogil:
        svmlight_parse(start, end, &to, &found)
    return (
        data[: found.values], indices[: found.values], indptr[: found.rows + 1],
        labels[: found.labels], label_indptr[: found.rows + 1] if multilabel else None,
        qids[: found.rows], place(found.bad, start), place(found.below, start),
        place(found.with_qid, start), place(found.without_qid, start), found.skipped,
    )


cdef extern from "vw.h" nogil:
    ctypedef struct VwFound "lr_vw_found":
        int64_t rows, values, skipped
        const char* bad
        int no_memory

    ctypedef struct Vw "lr_vw":
        int is_double, skip
        uint32_t mask
        void* data
        int32_t* indices
        int64_t* indptr
        double* labels
        double* weights
        double* bases
        int64_t* tags

    void vw_sizes "lr_vw_sizes"(const char* p, const char* end, int64_t* sizes)
    void vw_parse "lr_vw_parse"(const char* p, const char* end, const Vw* to, VwFound* found)
    uint32_t murmur3_32 "lr_murmur3_32"(const char* text, size_t length, uint32_t seed)


def murmur3(const unsigned char[::1] text, uint32_t seed):
    """MurmurHash3_x86_32 of a text."""
    cdef const char* start = <const char*>&text[0] if text.shape[0] else NULL
    return murmur3_32(start, text.shape[0], seed)


def parse_vw(const unsigned char[::1] text, str dtype, uint32_t mask, bint skip):
    """The arrays of whole lines of Vowpal Wabbit's text, features hashed and masked.

    Returns data, indices, indptr, labels (NaN where there is none), weights, bases and tags, the
    places in the text where each begins and ends; then the place of the first line that is not
    valid, None if there is none, and how many lines were left out. The arrays end before the first
    bad line, unless those are skipped.
    """
    cdef Vw to
    cdef VwFound found
    cdef int64_t[2] sizes
    cdef const char* start = <const char*>&text[0] if text.shape[0] else NULL
    cdef const char* end = start + text.shape[0]
    with nogil:
        vw_sizes(start, end, sizes)
    data, indices = np_empty(sizes[1], dtype), np_empty(sizes[1], "i")
    indptr, tags = np_empty(sizes[0] + 1, "q"), np_empty((sizes[0], 2), "q")
    labels, weights, bases = np_empty(sizes[0]), np_empty(sizes[0]), np_empty(sizes[0])
    to.is_double, to.skip, to.mask = dtype == "d", skip, mask
    to.data, to.indices = address(data), <int32_t*>address(indices)
    to.indptr, to.tags = <int64_t*>address(indptr), <int64_t*>address(tags)
    to.labels, to.weights = <double*>address(labels), <double*>address(weights)
    to.bases = <double*>address(bases)
    with nogil:
        vw_parse(start, end, &to, &found)
    if found.no_memory:
        raise MemoryError
    return (
        data[: found.values], indices[: found.values], indptr[: found.rows + 1],
        labels[: found.rows], weights[: found.rows], bases[: found.rows], tags[: found.rows],
        place(found.bad, start), found.skipped,
    )


cdef extern from "decimals.h" nogil:
    enum:
        MOST_NUMBER "LR_MOST_NUMBER"
        MOST_PAIR "LR_MOST_PAIR"
        COPIED "LR_COPIED"
    char* write_double "lr_write_double"(char* to, double value)
    char* write_float "lr_write_float"(char* to, float value)
    char* write_rows "lr_write_rows"(
        char* to, int64_t n_rows, const char* first, const int64_t* first_ends, const int64_t* ends,
        const int64_t* indices, const void* data, int is_double, int64_t first_index
    )


def number_text(number, str dtype):
    """A finite number as text: the fewest digits that are read as the same number of this dtype."""
    cdef char[MOST_NUMBER + COPIED] room
    cdef double value = number
    cdef char* end = write_double(room, value) if dtype == "d" else write_float(room, <float>value)
    return room[: end - room].decode()


def write_svmlight(
    bytes first, const int64_t[::1] first_ends, const int64_t[::1] ends,
    const int64_t[::1] indices, data, int64_t first_index
):
    """Rows as lines of text: what comes first in each, and an index and its value for each value.

    first has what comes first of all rows, which end there at first_ends; ends are those of the
    values of rows. data is an array of float32 or float64, without gaps.
    """
    cdef int64_t n_rows = ends.shape[0], n_values = indices.shape[0]
    room = np_empty(len(first) + n_rows + n_values * MOST_PAIR + COPIED, "b")
    cdef char* to = <char*>address(room)
    cdef char* end = to
    cdef const char* texts = first
    cdef const void* values = address(data)
    cdef int is_double = data.dtype.char == "d"
    if n_rows:
        with nogil:
            end = write_rows(
                to, n_rows, texts, &first_ends[0], &ends[0], &indices[0] if n_values else NULL,
                values, is_double, first_index,
            )
    return room[: end - to].data
