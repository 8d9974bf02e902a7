# Columns of tables to rows of hashed features, see xxhash.h and table.h.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "table.h" nogil:
    int STRINGS "LR_STRINGS"
    int LARGE_STRINGS "LR_LARGE_STRINGS"
    int STRING_VIEWS "LR_STRING_VIEWS"
    int INTEGERS "LR_INTEGERS"
    int CODES "LR_CODES"
    int NUMBERS "LR_NUMBERS"
    int INT8 "LR_INT8"
    int INT16 "LR_INT16"
    int INT32 "LR_INT32"
    int INT64 "LR_INT64"
    int UINT8 "LR_UINT8"
    int UINT16 "LR_UINT16"
    int UINT32 "LR_UINT32"
    int UINT64 "LR_UINT64"
    int FLOAT16 "LR_FLOAT16"
    int FLOAT32 "LR_FLOAT32"
    int FLOAT64 "LR_FLOAT64"
    int BITS "LR_BITS"
    int TABLE_NO_MEMORY "LR_TABLE_NO_MEMORY"
    int BAD_STRING "LR_BAD_STRING"
    int BAD_CODE "LR_BAD_CODE"
    int NOT_FINITE "LR_NOT_FINITE"

    ctypedef struct Prefix "lr_prefix":
        pass

    ctypedef struct ColumnData "lr_column":
        int layout
        int type
        const void* values
        const uint8_t* valid
        int64_t offset
        const uint8_t* text
        int64_t text_size
        const uint8_t* const* buffers
        const int64_t* buffer_sizes
        int64_t n_buffers
        const uint64_t* hashes
        uint64_t n_hashes
        Prefix prefix
        uint64_t hash
        uint64_t missing

    ctypedef struct Words "lr_words":
        const int64_t* indptr
        const int32_t* indices
        const double* counts

    ctypedef struct Fault "lr_fault":
        int kind
        int64_t column
        int64_t row

    ctypedef struct Table "lr_table":
        const ColumnData* numbers
        const ColumnData* categories
        int64_t n_numbers
        int64_t n_categories
        int64_t n_features_of_categories
        const int32_t* parts
        const int64_t* cross_ends
        int64_t n_crosses
        const Words* texts
        int64_t n_texts
        uint32_t n_features
        int single

    uint64_t xxh64 "lr_xxh64"(const uint8_t* p, size_t n, uint64_t seed) noexcept
    uint64_t not_zero "lr_not_zero"(uint64_t hash) noexcept
    Prefix prefix_of "lr_prefix_of"(const uint8_t* text, size_t length) noexcept
    int hash_column_rows "lr_hash_column"(
        const ColumnData* column, int64_t first, int64_t n, uint64_t* out, int64_t* row
    ) noexcept
    int64_t hash_table_rows "lr_hash_rows"(
        const Table* table, int64_t first, int64_t start, int64_t stop, int32_t* indices,
        void* values, int64_t* sizes, Fault* fault,
    ) noexcept
