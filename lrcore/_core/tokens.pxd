# Documents to rows of hashed counts, see murmurhash.h, term_counts.h and tokens.h.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "tokens.h" nogil:
    int NO_MEMORY "LR_NO_MEMORY"
    int NOT_UTF8 "LR_NOT_UTF8"
    int WORDS "LR_WORDS"
    int CHARS "LR_CHARS"
    int CHARS_OF_WORDS "LR_CHARS_OF_WORDS"
    size_t LONGEST "LR_LONGEST"
    size_t MOST_KEYS "LR_MOST_KEYS"

    ctypedef struct Columns "lr_columns":
        pass

    ctypedef struct CountRows "lr_count_rows":
        int32_t* columns
        int32_t* counts
        size_t size
        uint64_t n_terms
        int failed
        int64_t row

    ctypedef struct TextOptions "lr_text_options":
        int analyzer
        int lowercase
        int64_t min_n
        int64_t max_n
        size_t min_length
        int n_ranges
        uint8_t first[64]
        uint8_t last[64]
        const uint8_t* in_class
        const uint8_t* stop_text
        const int64_t* stop_bounds
        const int32_t* stop_table
        uint32_t stop_mask
        uint32_t stop_lengths[256]
        Columns columns

    ctypedef struct Documents "lr_documents":
        const uint8_t* text
        const int64_t* offsets
        const uint8_t* as_is
        int64_t n

    Columns columns_of "lr_columns_of"(uint32_t n_features, uint32_t first, int alternate_sign) noexcept
    uint32_t murmur3 "lr_murmur3"(const uint8_t* p, size_t n) noexcept
    uint32_t key_of "lr_key"(const Columns* columns, uint32_t hash) noexcept
    bint reserve "lr_reserve"(void** array, size_t* room, size_t n, size_t element) noexcept
    int append_row "lr_append_row"(
        CountRows* rows, uint32_t* keys, uint32_t* spare, size_t n, const Columns* of
    ) noexcept
    void hash_documents "lr_hash_documents"(
        const TextOptions* options, const Documents* documents, int64_t first, int64_t stop,
        CountRows* rows, int64_t* row_sizes,
    ) noexcept
    void free_rows "lr_free_rows"(CountRows* rows) noexcept
