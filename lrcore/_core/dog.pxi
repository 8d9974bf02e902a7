# DoG's learning rate in linear models (Ivgi, Hinder and Carmon 2023): that of SGD times the largest
# distance from 0 so far over the root of the sum of squared gradient norms.
#
# A block of rows or a mini-batch has one factor, known before it is learnt from: norms of rows follow
# from derivatives and |x|**2, and so does the distance after it, since w . dw is a sum of derivatives
# times raw predictions. Every thread works it out for itself, in row order. Only the norm of a
# mini-batch's gradient is a sum over features, and so over threads: of integers, whose sum has no
# order.

# Units of the sum of integers in a bound of it.
cdef enum:
    UNIT_BITS = 52


cdef inline double row_norm(const Epoch* e, const Block* b, Py_ssize_t i) noexcept nogil:
    """Squared norm of the gradient of row i of the block, over all outputs."""
    cdef const double* gradient = e.loss.gradients + i * e.model.lanes
    cdef double total = 0.0
    cdef Py_ssize_t k
    for k in range(e.model.lanes):
        total += gradient[k] * gradient[k]
    return total * e.dog.squares[e.order[b.first + i]]


cdef inline double row_product(const Epoch* e, Py_ssize_t i) noexcept nogil:
    """Product of the weights and the gradient of row i of the block."""
    cdef const double* raw_prediction = e.loss.raw_predictions + i * e.model.lanes
    cdef const double* gradient = e.loss.gradients + i * e.model.lanes
    cdef double total = 0.0
    cdef Py_ssize_t k
    for k in range(e.model.lanes):
        total += gradient[k] * raw_prediction[k]
    return total


cdef inline void set_distance(DoGState* d, double distance2, double shrinkage) noexcept nogil:
    """The distance after the block, whose penalties shrink it too."""
    d.distance2 = max(distance2, 0.0) / (shrinkage * shrinkage)
    d.furthest = max(d.furthest, root(d.distance2))


cdef inline double block_lr_factor(const Epoch* e, const Block* b, DoGState* d) noexcept nogil:
    """The factor of a block of rows, which count as if they shared no feature."""
    cdef double factor, rate, product, rate_sum = 0.0, distance2 = d.distance2
    cdef Py_ssize_t i
    for i in range(b.last - b.first):
        d.squares += row_norm(e, b, i)
    factor = d.furthest / root(d.squares + e.dog.eps)
    for i in range(b.last - b.first):
        rate = e.rates[b.first + i] * factor
        product = row_product(e, i)
        distance2 += rate * (rate * row_norm(e, b, i) - (product + product))
        rate_sum += rate * e.loss.weights[i * e.model.lanes]
    set_distance(d, distance2, 1.0 + rate_sum * e.dog.l2)
    return factor


cdef inline double norm_bound(const Epoch* e, const Block* b, double share) noexcept nogil:
    """What the squared norm of a mini-batch's gradient is at most."""
    cdef double total = 0.0
    cdef Py_ssize_t i
    for i in range(b.last - b.first):
        total += row_norm(e, b, i)
    return total * share * share * (b.last - b.first)


cdef inline int64_t in_units(double g, double units) noexcept nogil:
    return <int64_t>(g * g * units)


cdef inline double units_of(double bound) noexcept nogil:
    """Units in a squared gradient of 1; 0 where there is nothing to sum, or nothing finite."""
    return <double>(<int64_t>1 << UNIT_BITS) / bound if 0.0 < bound < INFINITY else 0.0


cdef inline int64_t gradient_units(
    const real* model, const Epoch* e, const Thread* t, double intercept_gradient, double units
) noexcept nogil:
    """Squared norm of this thread's part of the gradient."""
    cdef const Model* m = &e.model
    cdef const real* gradient = model + m.gradient
    cdef Py_ssize_t k, i
    cdef int64_t own = 0
    if m.layout == DENSE:
        for k in range(t.low, t.high):
            own += in_units(gradient[k], units)
    else:
        for k in range(t.n_listed):
            for i in range(m.lanes):
                own += in_units(gradient[t.listed[k] * m.feature_stride + i], units)
    if m.layout != MULTI_OUTPUT and t.last and m.intercept:
        own += in_units(intercept_gradient, units)
    return own


cdef inline double batch_lr_factor(
    const real* model, Epoch* e, const Block* b, Thread* t, double intercept_gradient
) noexcept nogil:
    """The factor of a mini-batch whose gradients have been summed up."""
    # Derivatives of a single output are divided by the number of rows already.
    cdef double share = 1.0 / (b.last - b.first) if e.model.layout == MULTI_OUTPUT else 1.0
    cdef double bound = norm_bound(e, b, share), norm = bound
    cdef double factor, rate, product = 0.0, weight = 0.0
    cdef int64_t units = 0
    cdef Py_ssize_t i
    e.dog.parts[8 * t.part] = gradient_units(model, e, t, intercept_gradient, units_of(bound))
    wait(&e.barrier, t.parts)
    if 0.0 < bound < INFINITY:
        for i in range(t.parts):
            units += e.dog.parts[8 * i]
        norm = <double>units / units_of(bound)
    t.dog.squares += norm
    factor = t.dog.furthest / root(t.dog.squares + e.dog.eps)
    for i in range(b.last - b.first):
        product += row_product(e, i)
        weight += e.loss.weights[i * e.model.lanes]
    rate = e.rates[b.number] * factor
    product = product * share
    set_distance(
        &t.dog, t.dog.distance2 + rate * (rate * norm - (product + product)),
        1.0 + rate * (weight / (b.last - b.first)) * e.dog.l2,
    )
    return factor
