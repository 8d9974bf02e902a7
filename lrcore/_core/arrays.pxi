# Arrays of Python as pointers: this is the one place where the kind of a matrix is looked at.


cdef inline int type_of(array) except -1:
    """NPY_FLOAT or NPY_DOUBLE."""
    cdef int type_num = cnp.PyArray_TYPE(<cnp.ndarray?>array)
    if type_num != cnp.NPY_FLOAT and type_num != cnp.NPY_DOUBLE:
        raise TypeError(f"an array of float32 or float64 is needed, got {array.dtype}")
    return type_num


cdef inline void* address(array, int type_num) except? NULL:
    """Where the numbers of a C-contiguous array of this dtype begin."""
    cdef cnp.ndarray a = array
    if not cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(a), type_num) or not cnp.PyArray_ISCARRAY_RO(a):
        raise TypeError(f"an array has the wrong dtype, {a.dtype}, or is not contiguous")
    return cnp.PyArray_DATA(a)


cdef Rows csr_rows(indptr, indices, values) except *:
    """A CSR matrix; values that are not as many as the indices are ones, enough for any row."""
    cdef Rows X
    X.indptr = <const int64_t*>address(indptr, cnp.NPY_INT64)
    X.indices = NULL
    X.long_indices = NULL
    if indices.dtype.itemsize == sizeof(int32_t):
        X.indices = <const int32_t*>address(indices, cnp.NPY_INT32)
    else:
        X.long_indices = <const int64_t*>address(indices, cnp.NPY_INT64)
    X.is_double = type_of(values) == cnp.NPY_DOUBLE
    X.values = address(values, type_of(values))
    X.n_rows = indptr.shape[0] - 1
    X.size = indices.shape[0]
    X.value_step = values.shape[0] == indices.shape[0]
    X.n_columns = 0
    return X


cdef Rows dense_rows(values) except *:
    """A C-contiguous matrix."""
    cdef Rows X
    X.indptr = NULL
    X.indices = NULL
    X.long_indices = NULL
    X.is_double = type_of(values) == cnp.NPY_DOUBLE
    X.values = address(values, type_of(values))
    X.n_rows, X.n_columns = values.shape
    X.size = 0
    X.value_step = 1
    return X


cdef class Matrix:
    """Rows of X as the kernels take them: ``Matrix(values)``, or of CSR with indptr and indices."""
    cdef Rows c
    cdef tuple kept

    def __init__(self, values, indices=None, indptr=None):
        self.kept = (values, indices, indptr)
        self.c = dense_rows(values) if indptr is None else csr_rows(indptr, indices, values)
