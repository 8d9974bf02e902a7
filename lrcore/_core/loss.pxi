# Losses of rows, each compiled once.


cdef void evaluate_rows(
    Loss* loss, const double* raw_prediction, const double* y, const double* weight,
    double* value, double* gradient, Py_ssize_t n
) noexcept nogil:
    """Loss of each row and its derivative, times the row's weight."""
    cdef Py_ssize_t i
    cdef double v, g
    for i in range(n):
        evaluate(loss, raw_prediction[i], y[i], &v, &g)
        value[i] = weight[i] * v
        gradient[i] = weight[i] * g


cdef void evaluate_joint_rows(
    JointLoss* loss, const double* raw_prediction, const double* y, const double* weight,
    double* value, double* gradient, Py_ssize_t n
) noexcept nogil:
    """As `evaluate_rows`, of rows whose lanes lie side by side; label and loss are in the first.
    A label that is no class would be a place outside of the row: loss and derivatives are NaN."""
    cdef Py_ssize_t n_outputs = <Py_ssize_t>loss.n_outputs, lanes = (n_outputs + 7) // 8 * 8
    cdef Py_ssize_t row, i, k
    for row in range(n // lanes):
        i = row * lanes
        if 0 <= y[i] < n_outputs:
            evaluate_joint(loss, raw_prediction + i, <Py_ssize_t>y[i], value + i, gradient + i)
        else:
            value[i] = NAN
            for k in range(n_outputs):
                gradient[i + k] = NAN
        for k in range(n_outputs, lanes):
            gradient[i + k] = 0.0
        for k in range(lanes):
            value[i + k] = weight[i] * value[i + k] if k == 0 else 0.0
            gradient[i + k] = weight[i] * gradient[i + k]


cdef inline void softmax_row(const double* z, double* p, Py_ssize_t n) noexcept nogil:
    """The shares that exponentials have of their sum, which is made in their order."""
    cdef Py_ssize_t k
    cdef double top = z[0], total = 0.0
    for k in range(1, n):
        top = z[k] if z[k] > top else top
    for k in range(n):
        p[k] = exponential(z[k] - top)
    for k in range(n):
        total += p[k]
    for k in range(n):
        p[k] /= total


cdef inline double logistic(double z) noexcept nogil:
    """The probability of the second of two classes."""
    cdef double negative = -z if z > 0 else z
    cdef double e = 0.0 if negative < -708.0 else exponential(negative)
    return (1.0 if z > 0 else e) / (1.0 + e)


cdef void probabilities_of_rows(
    void* unused1, void* unused2, void* unused3, const Probabilities* job, int part, int parts
) noexcept nogil:
    """Of each row those of its outputs, or that of its one."""
    cdef Py_ssize_t first = cut(job.n_rows, part, parts), last = cut(job.n_rows, part + 1, parts), i
    keep_subnormals()
    if job.joint:
        for i in range(first, last):
            softmax_row(job.z + i * job.n_outputs, job.p + i * job.n_outputs, job.n_outputs)
    else:
        for i in range(first * job.n_outputs, last * job.n_outputs):
            job.p[i] = logistic(job.z[i])
