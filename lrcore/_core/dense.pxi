# Sweeps over whole vectors: the step of every rule, the check of gradients, the machine's floor.

# Ranges of a vector start at multiples of this many elements: whole cache lines in both dtypes.
cdef enum:
    GRAIN = 64


cdef struct Sweep:
    void* state         # (n_states, n), C-contiguous
    Py_ssize_t n


cdef inline Py_ssize_t cut(Py_ssize_t n, int part, int parts) noexcept nogil:
    """Start of a part's range of n elements; cut(n, parts, parts) is n."""
    cdef Py_ssize_t grains = (n + GRAIN - 1) // GRAIN
    cdef Py_ssize_t start = (grains * part // parts) * GRAIN
    return start if start < n else n


cdef void sweep(
    Rule* row, real* w, const real* g, Sweep* job, int part, int parts
) noexcept nogil:
    """One step of a rule over part of a vector."""
    cdef Rule r = row[0]
    cdef Py_ssize_t i, stop = cut(job.n, part + 1, parts)
    cdef real* a = <real*>job.state
    cdef real* b = a + job.n
    cdef real* c = b + job.n
    for i in range(cut(job.n, part, parts), stop):
        update(r, w + i, g[i], a + i, b + i, c + i)


cdef struct Scan:
    Py_ssize_t n
    int64_t[64] first


cdef void scan(
    void* unused, real* unused_too, const real* x, Scan* job, int part, int parts
) noexcept nogil:
    """Where the first NaN or infinity of each part is: x - x is 0 for finite numbers alone."""
    cdef Py_ssize_t i, k, stop = cut(job.n, part + 1, parts)
    cdef Py_ssize_t start = cut(job.n, part, parts)
    cdef int bad
    job.first[part] = job.n
    while start < stop:
        bad = 0
        k = start + 4096 if start + 4096 < stop else stop
        for i in range(start, k):
            bad |= (x[i] - x[i]) != 0
        if bad:
            for i in range(start, k):
                if (x[i] - x[i]) != 0:
                    job.first[part] = i
                    return
        start = k


cdef void floor_loop(
    void* unused, real* x, void* unused_too, Scan* job, int part, int parts
) noexcept nogil:
    """Read, modify, write: the least that a sweep over this many bytes can take."""
    cdef Py_ssize_t i
    for i in range(cut(job.n, part, parts), cut(job.n, part + 1, parts)):
        x[i] = x[i] + <real>1


def step(
    int rule, const double[::1] row, real[::1] w, const real[::1] g, real[:, ::1] state, int n_threads
):
    """One step of the rule with this index, in place; the caller has checked everything."""
    cdef Sweep job
    cdef Kernels* kernels = kernels_of(rule, <real*>NULL)
    job.n = w.shape[0]
    if job.n == 0:
        return
    job.state = &state[0, 0] if state.shape[0] else &w[0]
    with nogil:
        run(kernels.sweep, <void*>&row[0], &w[0], <void*>&g[0], &job, n_threads)


def first_nonfinite(const real[::1] x, int n_threads):
    """Index of the first NaN or infinity in x, -1 if there is none."""
    cdef Scan job
    cdef int part
    cdef Py_ssize_t first = x.shape[0]
    cdef Worker worker = <Worker>&scan[real]
    n_threads = min(n_threads, 64)
    job.n = first
    if job.n == 0:
        return -1
    for part in range(n_threads):
        job.first[part] = job.n
    with nogil:
        run(worker, NULL, NULL, <void*>&x[0], &job, n_threads)
    for part in range(n_threads):
        first = min(first, job.first[part])
    return first if first < x.shape[0] else -1


def read_modify_write(real[::1] x, int n_threads):
    """Add 1 to every element: the floor that sweeps are measured against."""
    cdef Scan job
    cdef Worker worker = <Worker>&floor_loop[real]
    job.n = x.shape[0]
    if job.n:
        with nogil:
            run(worker, NULL, &x[0], NULL, &job, n_threads)
