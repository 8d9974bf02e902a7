# Raw predictions, X w + intercept: of a block of rows in an epoch, and of rows that nobody has
# looked at before.


cdef inline real dot_entries(
    const real* w, Py_ssize_t width, const index* j, const real* x, Py_ssize_t n
) noexcept nogil:
    """Product of a sparse row and the weights. The order of the additions is fixed: lanes, then a
    tree."""
    if real is float and index is int32_t:
        return dot_f32(w, width, j, x, n)
    elif real is float:
        return dot_f64(w, width, j, x, n)
    elif index is int32_t:
        return dot_d32(w, width, j, x, n)
    else:
        return dot_d64(w, width, j, x, n)


cdef inline real dot_dense(const real* w, const real* x, Py_ssize_t n) noexcept nogil:
    """The same of a dense row."""
    if real is float:
        return dot_dense_f(w, x, n)
    else:
        return dot_dense_d(w, x, n)


cdef inline Py_ssize_t lower_bound(
    const index* features, Py_ssize_t n, Py_ssize_t j
) noexcept nogil:
    """First of n features that is at least j; the last few are counted, since no processor guesses
    where a search goes."""
    cdef Py_ssize_t start = 0, stop = n, middle, k
    cdef int32_t below = 0
    while stop - start > 48:
        middle = start + (stop - start) // 2
        if features[middle] < j:
            start = middle + 1
        else:
            stop = middle
    for k in range(start, stop):
        below += features[k] < j
    return start + below


cdef inline void prefetch_slots(
    const real* model, const Epoch* e, const index* features, Py_ssize_t n, Py_ssize_t low,
    Py_ssize_t high,
) noexcept nogil:
    """Prefetch the slots of the features of a row that are in [low, high)."""
    cdef Py_ssize_t k, start = 0, stop = n
    if low > 0:
        start = lower_bound(features, n, low)
    if high < e.model.n_features:
        stop = start + lower_bound(features + start, n - start, high)
    for k in range(start, stop):
        prefetch_far(model + features[k] * e.model.feature_stride)


cdef inline void prefetch_entries(
    const Epoch* e, Py_ssize_t row, real* dtype
) noexcept nogil:
    cdef const Rows* X = &e.rows
    cdef const char* indices = <const char*>X.indices
    cdef Py_ssize_t k, size = sizeof(int32_t)
    if X.indices is NULL:
        indices = <const char*>X.long_indices
        size = sizeof(int64_t)
    for k in range(X.indptr[row], X.indptr[row + 1], 16):
        prefetch_far(indices + k * size)
        prefetch_far(values_at(X, k, dtype))


cdef inline void prefetch_row(const Epoch* e, Py_ssize_t i, real* dtype) noexcept nogil:
    """Prefetch the rows that come after row i into the second-level cache."""
    cdef const Rows* X = &e.rows
    cdef Py_ssize_t k, row
    if X.indptr is NULL:
        if 0 < e.ahead < e.n_rows - i:
            row = e.order[i + e.ahead]
            prefetch_far(e.loss.y + row * e.loss.n_targets)
            for k in range(0, X.n_columns, 16):
                prefetch_far(values_at(X, row * X.n_columns + k, dtype))
        return
    if 0 < e.ahead < e.n_rows - i - e.ahead:
        prefetch_entries(e, e.order[i + 2 * e.ahead], dtype)
    if 0 < e.ahead < e.n_rows - i - 2 * e.ahead:
        row = e.order[i + 3 * e.ahead]
        prefetch_far(X.indptr + row)
        prefetch_far(e.loss.y + row * e.loss.n_targets)


cdef inline void prefetch_ahead(
    const real* model, const Epoch* e, Py_ssize_t i, Py_ssize_t low, Py_ssize_t high
) noexcept nogil:
    """Prefetch, while row i is worked on, what later rows need.

    The slots of the row that is `ahead` on, about a block, so that they come while the processor
    computes: 1.2 times as fast as shortly before they are used. That takes its entries, fetched
    twice as far ahead, and those its place, thrice.
    """
    cdef const Rows* X = &e.rows
    cdef Py_ssize_t k, n, row
    prefetch_row(e, i, <real*>NULL)
    if e.far and X.indptr is not NULL and 0 <= i + e.ahead < e.n_rows:
        row = e.order[i + e.ahead]
        k = X.indptr[row]
        n = X.indptr[row + 1] - k
        if X.indices is not NULL:
            prefetch_slots(model, e, X.indices + k, n, low, high)
        else:
            prefetch_slots(model, e, X.long_indices + k, n, low, high)


cdef inline void view_sparse_row(Epoch* e, Py_ssize_t row, RowView* view, int32_t* room) noexcept nogil:
    """A CSR row as it is, or with its features in `room` if they are of 64 bits."""
    cdef const Rows* X = &e.rows
    cdef Py_ssize_t k, start = X.indptr[row]
    view.n = X.indptr[row + 1] - start
    if X.indices is not NULL:
        view.features = X.indices + start
        return
    for k in range(view.n):
        room[k] = <int32_t>X.long_indices[start + k]
    view.features = room


cdef inline void list_row(
    const Epoch* e, Py_ssize_t row, RowView* view, int32_t* features, real* values
) noexcept nogil:
    """A row as the features that it touches and their values, the intercept last with the value 1:
    so dense rows give the same bits as their sparse twins."""
    cdef const Rows* X = &e.rows
    cdef Py_ssize_t k, start, stop, n = 0
    cdef const real* x
    row_span(X, row, &start, &stop)
    x = values_at(X, start, values)
    for k in range(stop - start):
        values[n] = x[k]
        if X.indptr is NULL:
            features[n] = <int32_t>k
            n += x[k] != 0
        else:
            features[n] = (
                X.indices[start + k] if X.indices is not NULL
                else <int32_t>X.long_indices[start + k]
            )
            n += 1
    if e.model.intercept:
        features[n] = <int32_t>e.model.n_features
        values[n] = 1
        n += 1
    view.features = features
    view.values = values
    view.n = n


cdef inline void predict_sparse(
    real* model, Epoch* e, const Block* b, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """Raw predictions of some rows of the block, one output."""
    cdef const Rows* X = &e.rows
    cdef Py_ssize_t i, row, width = e.model.feature_stride, room = 0
    cdef RowView* view
    cdef real intercept = model[e.model.n_features * width]
    if X.indices is NULL:
        room = room_for(e, b, 0, start)
    for i in range(start, stop):
        row = e.order[b.first + i]
        view = e.views + i
        if b.first + i + e.ahead < b.last:
            prefetch_ahead(model, e, b.first + i, 0, e.model.n_features)
        view.values = values_at(X, X.indptr[row], model)
        view_sparse_row(e, row, view, e.features + room)
        room += view.n + 1
        e.loss.raw_predictions[i] = intercept + dot_entries(
            model, width, view.features, <const real*>view.values, view.n
        )


cdef inline void predict_dense(
    real* model, Epoch* e, const Block* b, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """Raw predictions of some rows of the block, one output."""
    cdef Py_ssize_t i, n = e.rows.n_columns
    cdef const real* x
    cdef real intercept = model[e.model.n_features]
    for i in range(start, stop):
        # Of a mini-batch all rows are fetched here: its gradient goes column by column.
        if b.first + i + e.ahead < b.last or e.model.batch:
            prefetch_row(e, b.first + i, model)
        x = <const real*>e.rows.values + e.order[b.first + i] * n
        e.loss.raw_predictions[i] = intercept + dot_dense(model, x, n)
        e.views[i].values = x


cdef inline void predict_lanes(
    const real* model, const Epoch* e, const RowView* view, double* raw_predictions
) noexcept nogil:
    """Raw predictions of a row: of each output the same additions as those of `dot_entries`."""
    cdef real[LANES] sums
    cdef Py_ssize_t k, i, ahead, n = view.n - e.model.intercept, width = e.model.feature_stride
    cdef const real* intercept = model + e.model.n_features * width
    for k in range(0, e.model.lanes, 8):
        ahead = SLOTS_AHEAD if k == 0 and e.far else 0
        dot_lanes(model + k, width, view.features, <const real*>view.values, n, ahead, sums)
        for i in range(LANES):
            raw_predictions[k + i] = sums[i] + intercept[k + i]


cdef inline void dot_lanes(
    const real* w, Py_ssize_t width, const int32_t* j, const real* x, Py_ssize_t n,
    Py_ssize_t ahead, real* sums
) noexcept nogil:
    if real is float:
        dot_outputs_f32(w, width, j, x, n, ahead, sums)
    else:
        dot_outputs_d32(w, width, j, x, n, ahead, sums)


cdef inline void predict_outputs(
    real* model, Epoch* e, const Block* b, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """Raw predictions of some rows of the block, those of a row side by side. Rows are listed first,
    behind the room that the rows before them take."""
    cdef Py_ssize_t i, room = room_for(e, b, 0, start)
    for i in range(start, stop):
        prefetch_row(e, b.first + i, model)
        list_row(
            e, e.order[b.first + i], &e.views[i], e.features + room, <real*>e.values + room
        )
        room += room_for(e, b, i, i + 1)
        predict_lanes(model, e, &e.views[i], e.loss.raw_predictions + i * e.model.lanes)


cdef inline void load_targets(
    const Epoch* e, const Block* b, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """Targets and weights of some rows of the block, and raw predictions with the offset."""
    cdef Py_ssize_t i, k, row, lanes = e.model.lanes, n_targets = e.loss.n_targets
    cdef double weight
    if e.loss.offset is not NULL:
        for i in range(start, stop):
            row = e.order[b.first + i]
            for k in range(lanes):
                e.loss.margins[i * lanes + k] = (
                    e.loss.raw_predictions[i * lanes + k]
                    + e.loss.offset[row * n_targets + min(k, n_targets - 1)]
                )
    for i in range(start, stop):
        row = e.order[b.first + i]
        weight = e.loss.weight[row] if e.loss.weight is not NULL else 1.0
        if lanes == 1:
            e.loss.targets[i] = e.loss.y[row]
            e.loss.weights[i] = weight
            continue
        for k in range(lanes):
            # Lanes past the last output have no gradient.
            e.loss.weights[i * lanes + k] = weight if k < e.model.n_outputs else 0.0
            e.loss.targets[i * lanes + k] = 0.0
        for k in range(e.model.n_outputs):
            e.loss.targets[i * lanes + k] = e.loss.y[row * n_targets + min(k, n_targets - 1)]


cdef inline void predict_block(
    real* model, Epoch* e, const Block* b, const Thread* t
) noexcept nogil:
    """Raw predictions of this thread's rows of the block, their losses, and the derivatives."""
    cdef Py_ssize_t n = b.last - b.first, lanes = e.model.lanes, i
    cdef Py_ssize_t start = n * t.part // t.parts, stop = n * (t.part + 1) // t.parts
    cdef double share = 1.0 / n if e.model.batch else 1.0
    cdef double* gradients = e.loss.gradients
    cdef double* margins = e.loss.raw_predictions if e.loss.offset is NULL else e.loss.margins
    if e.model.layout == DENSE:
        predict_dense(model, e, b, start, stop)
    elif e.model.layout == SPARSE:
        predict_sparse(model, e, b, start, stop)
    else:
        predict_outputs(model, e, b, start, stop)
    load_targets(e, b, start, stop)
    start, stop = start * lanes, stop * lanes
    e.loss.evaluate(
        &e.loss.parameter, margins + start, e.loss.targets + start,
        e.loss.weights + start, e.loss.values + start, gradients + start, stop - start,
    )
    if lanes == 1:
        for i in range(start, stop):
            gradients[i] = gradients[i] * share
    else:
        for i in range(start, stop):
            (<real*>e.loss.lane_gradients)[i] = <real>(gradients[i] * share)
