# Rows and features put in an order that suits the cache, before a fit of several epochs.


cdef inline int bit_length(uint32_t x) noexcept nogil:
    return 0 if x == 0 else 32 - leading_zeros(x)


def number_features(const index[::1] indices, int32_t[::1] numbers, int32_t[::1] features):
    """New numbers for the features that come up in indices: frequent ones first.

    The first two, the next two, the next four, eight and so on, each group in the order of the
    old numbers: a stable sort by `bit_length` then puts a row in the order of the new numbers.
    Frequencies count by their binary logarithm. numbers, zeros at first, becomes the new number
    of each feature, -1 for none; features, the old number of each new one. Returns how many
    features come up.
    """
    cdef Py_ssize_t[34] start
    cdef Py_ssize_t j, k, rank, n_features = numbers.shape[0]
    cdef int c
    with nogil:
        for k in range(indices.shape[0]):
            if k + 32 < indices.shape[0]:
                prefetch_write(&numbers[indices[k + 32]])
            numbers[indices[k]] += 1
        for c in range(34):
            start[c] = 0
        for j in range(n_features):
            start[33 - bit_length(numbers[j])] += 1
        rank = 0
        for c in range(33):
            rank += start[c]
            start[c] = rank - start[c]
        for j in range(n_features):
            if numbers[j]:
                c = 33 - bit_length(numbers[j])
                numbers[j] = bit_length(<uint32_t>start[c])
                start[c] += 1
            else:
                numbers[j] = -1
        start[0] = 0
        for c in range(1, 33):
            start[c] = <Py_ssize_t>1 << (c - 1)
        for j in range(n_features):
            if numbers[j] >= 0:
                c = numbers[j]
                numbers[j] = <int32_t>start[c]
                features[start[c]] = <int32_t>j
                start[c] += 1
    return rank


def arrange(
    const int64_t[::1] order, const int64_t[::1] indptr, const index[::1] indices,
    const real[::1] values, const int32_t[::1] numbers, int64_t[::1] new_indptr,
    int32_t[::1] new_indices, real[::1] new_values, int64_t[::1] totals,
):
    """The rows named by `order`, one after another, with the new `numbers` of their features;
    with their old ones if numbers is empty. Values that are not as many as the indices are all 1
    and stay where they are.

    Adds to totals how many values have a feature whose new number has so many bits.
    """
    cdef Py_ssize_t i, k, n, start, to = 0
    cdef int32_t[33] place
    cdef int32_t at, before, count
    cdef int c
    cdef bint given = values.shape[0] == indices.shape[0]
    with nogil:
        new_indptr[0] = 0
        for i in range(order.shape[0]):
            if i + 24 < order.shape[0]:
                prefetch(&indptr[order[i + 24]])
                for k in range(indptr[order[i + 12]], indptr[order[i + 12] + 1], 16):
                    prefetch(&indices[0] + k)
                    if given:
                        prefetch(&values[0] + k)
                if numbers.shape[0]:
                    for k in range(indptr[order[i + 4]], indptr[order[i + 4] + 1]):
                        prefetch(&numbers[indices[k]])
            start = indptr[order[i]]
            n = indptr[order[i] + 1] - start
            new_indptr[i + 1] = to + n
            if numbers.shape[0] == 0:
                for k in range(n):
                    new_indices[to + k] = <int32_t>indices[start + k]
                    if given:
                        new_values[to + k] = values[start + k]
                to += n
                continue
            for c in range(33):
                place[c] = 0
            for k in range(n):
                place[bit_length(numbers[indices[start + k]])] += 1
            before = 0
            for c in range(33):
                count = place[c]
                totals[c] += count
                place[c] = before
                before += count
            for k in range(n):
                at = numbers[indices[start + k]]
                c = bit_length(at)
                new_indices[to + place[c]] = at
                if given:
                    new_values[to + place[c]] = values[start + k]
                place[c] += 1
            to += n


def inspect_csr(const int64_t[::1] indptr, const index[::1] indices, Py_ssize_t n_features):
    """What is wrong with a CSR matrix: ("", -1), ("order", row) or ("range", row).

    `order` means that a row's indices do not rise strictly: unsorted, or with duplicates.
    """
    cdef Py_ssize_t row, k, n = indices.shape[0], n_rows = indptr.shape[0] - 1, falls = 0
    cdef index lowest = 0, highest = 0
    for row in range(n_rows):
        if not 0 <= indptr[row] <= indptr[row + 1] <= n:
            return "range", row
    with nogil:
        # Where indices do not rise there must be a new row: counted without asking which.
        for k in range(indptr[0], indptr[n_rows]):
            lowest = min(lowest, indices[k])
            highest = max(highest, indices[k])
        for k in range(indptr[0] + 1, indptr[n_rows]):
            falls += indices[k] <= indices[k - 1]
        for row in range(1, n_rows):
            k = indptr[row]
            if indptr[0] < k < indptr[row + 1]:
                falls -= indices[k] <= indices[k - 1]
    if 0 <= lowest and highest < n_features and falls == 0:
        return "", -1
    return first_problem(indptr, indices, n_features)


cdef tuple first_problem(
    const int64_t[::1] indptr, const index[::1] indices, Py_ssize_t n_features
):
    """The first row that is damaged, or the first out of order."""
    cdef Py_ssize_t row, k, disorder = -1
    cdef int64_t last
    for row in range(indptr.shape[0] - 1):
        last = -1
        for k in range(indptr[row], indptr[row + 1]):
            if not 0 <= indices[k] < n_features:
                return "range", row
            if indices[k] <= last and disorder < 0:
                disorder = row
            last = indices[k]
    return ("order", disorder) if disorder >= 0 else ("", -1)
