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
