# Loops over whole vectors: steps by every rule, sums of squares, the search for NaN and infinity, and
# a loop that only reads and writes, which the others are measured against.

# Elements that are adjusted at once: they stay in the nearest cache until the rule has used them.
cdef enum:
    BLOCK = 2048


cdef inline void widen_half(const void* halves, real* out, Py_ssize_t n) noexcept nogil:
    cdef const uint16_t* g = <const uint16_t*>halves
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = widen(g[i])


cdef inline const real* gradient_block(
    Piece* piece, Py_ssize_t start, Py_ssize_t n, real* buffer
) noexcept nogil:
    """Up to BLOCK elements of the gradient; those of float16 are converted into `buffer`."""
    if not piece.half:
        return <const real*>piece.g + start
    widen_half(<const void*>(<const uint16_t*>piece.g + start), buffer, n)
    return buffer


cdef inline void adjust(
    const Adjustments* how, const Steps* job, real* w, const real* g, real* out, Py_ssize_t n
) noexcept nogil:
    """The gradients as the formula sees them, into out; shrinks w."""
    cdef real power = <real>job.gradient_power
    cdef real scale = <real>(how.gradient_scale * job.gradient_scale)
    cdef real l2 = <real>how.l2, shrink = <real>how.shrink
    cdef real high = <real>job.clip_value, low = <real>-job.clip_value, x
    cdef Py_ssize_t i
    for i in range(n):
        x = scale * (power * g[i])
        x = high if x > high else x
        x = low if x < low else x
        out[i] = x + l2 * w[i]
    if shrink != 1:
        for i in range(n):
            w[i] = shrink * w[i]


cdef inline void sweep(
    AnyRule r, real* w, const real* g, real* a, real* b, real* c, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        update(r, w + i, g[i], a + i, b + i, c + i)


cdef inline void sweep_states(
    AnyRule r, real* w, const real* g, Piece* piece, Steps* job, Py_ssize_t start, Py_ssize_t n
) noexcept nogil:
    """One step of n elements, of which w and g are the first, with the states from `start` on."""
    cdef real* a = <real*>piece.state + start
    cdef real* b = a + piece.stride
    cdef real* c = b + piece.stride
    cdef uint32_t draw
    if job.bfloat16:
        if real is float and AnyRule in Bfloat16Rule:
            draw = <uint32_t>(mix(job.key + piece.parameter) >> 32)
            draw += <uint32_t>(piece.first + start) * <uint32_t>GOLDEN
            sweep_bfloat16(r, w, g, piece.state, start, n, draw)
    elif job.int8:
        if real is float and AnyRule in EightBitRule:
            draw = <uint32_t>(mix(job.key + piece.parameter) >> 32)
            sweep_int8(r, w, g, piece, start, n, draw + <uint32_t>start * <uint32_t>GOLDEN)
    else:
        sweep(r, w, g, a, b, c, n)


cdef inline void step_range(
    AnyRule r, real* unused, Piece* piece, Steps* job, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """One step of the elements [start, stop) of a piece; in blocks where there is more to do."""
    cdef real* w = <real*>piece.w
    cdef const real* g = <const real*>piece.g
    cdef real* average = <real*>piece.average
    cdef real decay = <real>job.ema_decay, one_minus_decay = <real>job.one_minus_ema_decay
    cdef real[BLOCK] wide, adjusted
    cdef Py_ssize_t at, i, n
    cdef bint plain = job.adjustments is NULL and average is NULL and not piece.half
    if g is NULL:
        if average is not NULL:
            for i in range(start, stop):
                average[i] = decay * average[i] + one_minus_decay * w[i]
        return
    at = start
    while at < stop:
        n = stop - at if plain else min(stop - at, <Py_ssize_t>BLOCK)
        g = <const real*>piece.g + at if plain else gradient_block(piece, at, n, <real*>wide)
        if job.adjustments is not NULL:
            adjust(job.adjustments + piece.row, job, w + at, g, <real*>adjusted, n)
            g = <const real*>adjusted
        sweep_states(r, w + at, g, piece, job, at, n)
        if average is not NULL:
            for i in range(at, at + n):
                average[i] = decay * average[i] + one_minus_decay * w[i]
        at += n


cdef inline Py_ssize_t piece_at(Steps* job, Py_ssize_t grain) noexcept nogil:
    """The piece that this grain belongs to: the last that starts at it or before."""
    cdef Py_ssize_t low = 0, high = job.n_pieces, middle
    while high - low > 1:
        middle = (low + high) // 2
        if job.pieces[middle].start <= grain:
            low = middle
        else:
            high = middle
    return low


cdef inline Py_ssize_t whole(Py_ssize_t n, Steps* job) noexcept nogil:
    """Elements to the end of the block of states, where there are blocks."""
    return (n + CODES - 1) // CODES * CODES if job.int8 else n


cdef void steps(
    AnyRule* table, real* unused, void* unused_too, Steps* job, int part, int parts
) noexcept nogil:
    """One step of all pieces; a thread has a range of the grains of all of them together, to the
    end of the block where states are kept in blocks."""
    cdef Py_ssize_t grain = job.n_grains * part // parts
    cdef Py_ssize_t stop = job.n_grains * (part + 1) // parts
    cdef Py_ssize_t k, first, last
    cdef Piece* piece
    if grain == stop:
        return
    k = piece_at(job, grain)
    while k < job.n_pieces and job.pieces[k].start < stop:
        piece = job.pieces + k
        first = whole(max(grain - piece.start, <Py_ssize_t>0) * GRAIN, job)
        last = min(whole((stop - piece.start) * GRAIN, job), piece.n)
        if first < last:
            step_range(table[piece.row], unused, piece, job, first, last)
        k += 1


cdef inline uint64_t excess(const real* x, Py_ssize_t n) noexcept nogil:
    """0 if all are finite: x - x is 0 for these alone."""
    cdef uint32_t bits = 0
    cdef uint64_t wide = 0
    cdef Py_ssize_t i
    if real is float:
        for i in range(n):
            bits |= bits_of_float(x[i] - x[i])
        return bits
    else:
        for i in range(n):
            wide |= bits_of_double(x[i] - x[i])
        return wide


cdef inline uint64_t excess_half(const uint16_t* x, Py_ssize_t n) noexcept nogil:
    """0 if all of these float16 are finite."""
    cdef int found = 0
    cdef Py_ssize_t i
    for i in range(n):
        found |= (x[i] & 0x7c00) == 0x7c00
    return found


cdef void check_finite(
    void* unused, real* unused_too, void* nothing, Steps* job, int part, int parts
) noexcept nogil:
    """Look for a NaN or an infinity in the gradients; threads have ranges as in `steps`."""
    cdef Py_ssize_t grain = job.n_grains * part // parts
    cdef Py_ssize_t stop = job.n_grains * (part + 1) // parts
    cdef Py_ssize_t k, first, last
    cdef Piece* piece
    cdef uint64_t found = 0
    if grain == stop:
        return
    k = piece_at(job, grain)
    while k < job.n_pieces and job.pieces[k].start < stop:
        piece = job.pieces + k
        first = max(grain - piece.start, <Py_ssize_t>0) * GRAIN
        last = min((stop - piece.start) * GRAIN, piece.n)
        if piece.g is NULL:
            pass
        elif piece.half:
            found |= excess_half(<const uint16_t*>piece.g + first, last - first)
        else:
            found |= excess(<const real*>piece.g + first, last - first)
        k += 1
    if found:
        raise_flag(&job.nonfinite)


cdef inline double square_sum(const real* x, const real* start, Py_ssize_t n) noexcept nogil:
    """Sum of squares in float64 of x, or of its difference from `start`, unless that is NULL."""
    if real is float:
        return square_sum_f(x, start, n)
    else:
        return square_sum_d(x, start, n)


cdef inline const real* squared_block(
    Steps* job, Piece* piece, Py_ssize_t start, Py_ssize_t n, real* buffer
) noexcept nogil:
    """The gradient as the formula sees it."""
    cdef const real* g = gradient_block(piece, start, n, buffer)
    cdef Adjustments how
    if job.adjustments is NULL:
        return g
    how = job.adjustments[piece.row]
    how.shrink = 1  # so that w is only read
    adjust(&how, job, <real*>piece.w + start, g, buffer, n)
    return buffer


cdef void square_sums(
    void* unused, real* unused_too, void* nothing, Steps* job, int part, int parts
) noexcept nogil:
    """The sums of squares, SUM_GRAINS grains at a time, across the pieces: of gradients, of changes
    of the parameters since the first step, or of both in one pass. Rules that go by distances keep
    the start in the first state."""
    cdef Py_ssize_t n_sums = sums_of(job.n_grains)
    cdef Py_ssize_t k, i, grain, stop, first, last
    cdef Piece* piece
    cdef real[SUM_GRAINS * GRAIN] buffer
    cdef const real* x
    for i in range(n_sums * part // parts, n_sums * (part + 1) // parts):
        grain = i * SUM_GRAINS
        stop = min(grain + SUM_GRAINS, job.n_grains)
        job.sums[i] = job.sums[n_sums + i] = 0.0
        k = piece_at(job, grain)
        while k < job.n_pieces and job.pieces[k].start < stop:
            piece = job.pieces + k
            first = max(grain - piece.start, <Py_ssize_t>0) * GRAIN
            last = min((stop - piece.start) * GRAIN, piece.n)
            if first < last and job.gradients and piece.g is not NULL:
                x = squared_block(job, piece, first, last - first, <real*>buffer)
                job.sums[i] += square_sum(x, <const real*>NULL, last - first)
            if first < last and job.changes:
                x = <const real*>piece.w + first
                job.sums[n_sums + i] += square_sum(x, <const real*>piece.state + first, last - first)
            k += 1


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
    void* unused, real* x, const real* g, Scan* job, int part, int parts
) noexcept nogil:
    """Read, modify and write some vectors, a few cache lines of one after those of another, and read
    one more, unless g is NULL: the least time that a step over so many bytes can take."""
    cdef Py_ssize_t i, k, stop = cut(job.n, part + 1, parts)
    cdef Py_ssize_t start = cut(job.n, part, parts), end
    cdef real* row
    while start < stop:
        end = min(start + <Py_ssize_t>BLOCK, stop)
        for k in range(job.rows):
            row = x + k * job.n
            if g is NULL:
                for i in range(start, end):
                    row[i] = row[i] + <real>1
            else:
                for i in range(start, end):
                    row[i] = row[i] + g[i]
        start = end
