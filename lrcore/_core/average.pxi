# Polyak averages of the weights, over the steps from some step on, at no cost to features untouched.
#
# A change d of a weight in step s (the first is 1) lasts from then on, so after T averaged steps the
# weights have summed to T w - sum of (s - 1) d. That sum is what is kept, a number for each weight,
# in an array of its own: rules need not know of it.


cdef inline double elapsed_steps(const Average* average, int64_t step) noexcept nogil:
    """Averaged steps among the first `step`."""
    return max(0.0, <double>step - average.start)


cdef inline void copy_weights(const real* model, const Update* u, real* before) noexcept nogil:
    """The weights of the features of an update."""
    cdef const Model* m = u.model
    cdef Py_ssize_t k, i
    if m.layout == DENSE:
        for k in range(u.n):
            before[k] = model[u.first + k]
    elif m.layout == SPARSE:
        for k in range(u.n):
            before[k] = model[u.features[k] * m.feature_stride]
    else:
        for k in range(u.n):
            for i in range(m.lanes):
                before[k * m.lanes + i] = model[u.features[k] * m.feature_stride + i]


cdef inline void add_changes(
    const real* model, const Update* u, const real* before, real elapsed, real* changes
) noexcept nogil:
    """What has changed since, times the averaged steps done before."""
    cdef const Model* m = u.model
    cdef Py_ssize_t k, i, j
    if m.layout == DENSE:
        for k in range(u.n):
            changes[u.first + k] += elapsed * (model[u.first + k] - before[k])
    elif m.layout == SPARSE:
        for k in range(u.n):
            j = u.features[k]
            changes[j] += elapsed * (model[j * m.feature_stride] - before[k])
    else:
        for k in range(u.n):
            j = u.features[k]
            for i in range(m.lanes):
                changes[j * m.lanes + i] += elapsed * (
                    model[j * m.feature_stride + i] - before[k * m.lanes + i]
                )


cdef void update_and_average(
    const double* rule, real* model, const Epoch* e, const Update* u, real* before
) noexcept nogil:
    """An update, in as many pieces as the room for the weights before it asks for."""
    cdef UpdateKernel kernel = e.kernels.update[e.model.layout]
    cdef Py_ssize_t most = e.average.before_bytes // <Py_ssize_t>sizeof(real) // e.model.lanes
    cdef Py_ssize_t start = 0, at_intercept = e.model.n_features * e.model.feature_stride
    cdef real elapsed = <real>elapsed_steps(&e.average, u.step)
    cdef real* changes = <real*>e.average.changes
    cdef real before_intercept = model[at_intercept]
    cdef Update piece = u[0]
    piece.intercept = False
    while start < u.n:
        piece.n = min(most, u.n - start)
        piece.first = u.first + start
        if u.features is not NULL:
            piece.features = u.features + start
        if u.values is not NULL:
            piece.values = <const real*>u.values + start
        copy_weights(model, &piece, before)
        kernel(rule, model, &piece)
        add_changes(model, &piece, before, elapsed, changes)
        start += piece.n
    if u.intercept:
        piece.n = 0
        piece.intercept = True
        kernel(rule, model, &piece)
        changes[e.model.n_features] += elapsed * (model[at_intercept] - before_intercept)


cdef inline void apply_update(
    const double* rule, real* model, const Epoch* e, Thread* t, const Update* u
) noexcept nogil:
    if e.average.changes is NULL:
        e.kernels.update[e.model.layout](rule, model, u)
    else:
        update_and_average(rule, model, e, u, <real*>t.before)
