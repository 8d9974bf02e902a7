cdef bint predict_rows(Worker worker, Matrix X, Prediction* job, out, int n_threads) except -1:
    """Predictions into out; whether the rows are what CSR asks for."""
    cdef void* to = address(out, type_of(X.kept[0]))
    job.X = &X.c
    job.damaged = False
    if X.c.n_rows:
        with nogil:
            run(worker, NULL, to, job, NULL, n_threads)
    return job.damaged == 0
