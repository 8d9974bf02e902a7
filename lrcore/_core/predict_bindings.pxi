cdef bint predict_rows(Build build, Prediction* job, out, int n_threads) except -1:
    """Predictions into out; whether the rows are what CSR asks for."""
    cdef void* to = address(out, type_of(out))
    cdef Worker worker = build.kernels_of(job.X).predict
    job.damaged = False
    if job.X.n_rows:
        with nogil:
            run(worker, NULL, to, job, NULL, n_threads)
    return job.damaged == 0
