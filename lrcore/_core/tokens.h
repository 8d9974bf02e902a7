/* Documents of UTF-8 text to the keys of their n-grams of words or characters.

   Where tokens begin and end is found 64 bytes at a time, in bitmaps with a bit for each byte that
   belongs to one; n-grams are then pieces of one buffer, which are hashed several at a time. */
#ifndef LRCORE_TOKENS_H
#define LRCORE_TOKENS_H
#include "murmurhash.h"
#include "term_counts.h"

enum { LR_WORDS, LR_CHARS, LR_CHARS_OF_WORDS };

/* Bytes behind the end of a text that may be read or written. */
#define LR_MARGIN 64
/* The longest document in bytes. */
#define LR_LONGEST ((size_t)1 << 30)

typedef struct {
    int analyzer;
    int lowercase;                  /* of ASCII letters */
    int64_t min_n, max_n;           /* 1 <= min_n <= max_n */
    size_t min_length;              /* of a token, in characters */
    /* The characters of a token, or for characters those that are blank: the ASCII ones as ranges of
       bytes, all of them as a bitmap, which only other documents need. */
    int n_ranges;
    uint8_t first[64], last[64];
    const uint8_t *in_class;
    /* Stop words: their bytes and bounds, and a table of their numbers by hash, -1 for none; for each
       first byte their lengths as bits, to be quick about tokens that are none. */
    const uint8_t *stop_text;
    const int64_t *stop_bounds;
    const int32_t *stop_table;
    uint32_t stop_mask;             /* size of the table - 1; 0 without stop words */
    uint32_t stop_lengths[256];
    lr_columns columns;
} lr_text_options;

#define LR_CODE_POINTS 0x110000u

/* What a thread needs for one document, grown to the longest. */
typedef struct {
    uint8_t *text, *joined;
    uint64_t *in_class;
    uint32_t *start, *stop, *at, *first, *state;
    size_t room;                    /* bytes of a document */
    uint32_t *keys, *spare;
    size_t key_room, n_keys;
} lr_text_buffers;

static inline void lr_free_buffers(lr_text_buffers *b) {
    free(b->text), free(b->joined), free(b->in_class), free(b->start), free(b->stop), free(b->at);
    free(b->first), free(b->state), free(b->keys), free(b->spare);
}

static inline int lr_buffers_for(lr_text_buffers *b, size_t n) {
    if (n < b->room) return 1;
    const size_t room = n + n / 2 + 1024;
    lr_text_buffers old = *b;
    b->text = malloc(room + LR_MARGIN);
    b->joined = malloc(room + 2 * LR_MARGIN);
    b->in_class = malloc((room / 64 + 3) * sizeof(uint64_t));
    uint32_t **numbers[] = {&b->start, &b->stop, &b->at, &b->first, &b->state};
    for (int k = 0; k < 5; k++) *numbers[k] = malloc((room + 3) * sizeof(uint32_t));
    old.keys = old.spare = NULL;
    lr_free_buffers(&old);
    b->room = room;
    int there = b->text && b->joined && b->in_class;
    for (int k = 0; k < 5; k++) there = there && *numbers[k];
    if (!there) b->room = 0;
    return there;
}

static inline int lr_key_room(lr_text_buffers *b, size_t more) {
    size_t room = b->key_room;
    const size_t n = b->n_keys + more + LR_HASHES;
    return n <= LR_MOST_KEYS && lr_reserve((void **)&b->keys, &room, n, sizeof(uint32_t)) &&
           lr_reserve((void **)&b->spare, &b->key_room, n, sizeof(uint32_t));
}

/* ---- classes of characters ------------------------------------------------------------------ */

#if defined(__GNUC__) || defined(__clang__)
#ifdef __AVX2__
#define LR_BYTES 32
#else
#define LR_BYTES 16
#endif
typedef uint8_t lr_bytes __attribute__((vector_size(LR_BYTES), aligned(1), may_alias));

/* Bit i for byte i of a vector, which are 0 or 255. */
#if defined(__AVX2__)
#define LR_BITS_OF(flags) ((uint32_t)_mm256_movemask_epi8((__m256i)(flags)))
#elif defined(__SSE2__)
#include <emmintrin.h>
#define LR_BITS_OF(flags) ((uint32_t)_mm_movemask_epi8((__m128i)(flags)))
#else
#define LR_BITS_OF(flags) lr_bits_of((const uint8_t *)&(flags))
/* Eight bytes at a time: a product moves their lowest bits side by side into the highest byte. */
static inline uint32_t lr_bits_of(const uint8_t *flags) {
    uint32_t bits = 0;
    for (int i = 0; i < LR_BYTES; i += 8) {
        const uint64_t eight = (uint64_t)lr_load32(flags + i) | (uint64_t)lr_load32(flags + i + 4) << 32;
        bits |= (uint32_t)((eight & 0x0101010101010101u) * 0x0102040810204080u >> 56) << i;
    }
    return bits;
}
#endif

/* 32 bytes, in lower case if asked for, to `to`; which of them are in the class, and which are not
   ASCII. */
LR_INLINE uint32_t lr_classify_32(const lr_text_options *o, int lowercase, const uint8_t *from,
                                  uint8_t *to, uint32_t *not_ascii) {
    uint32_t bits = 0;
    *not_ascii = 0;
    for (int i = 0; i < 32; i += LR_BYTES) {
        lr_bytes v = *(const lr_bytes *)(from + i), found = {0};
        if (lowercase) v |= (lr_bytes)((lr_bytes)(v - 'A') < 26) & 32;
        *(lr_bytes *)(to + i) = v;
        for (int r = 0; r < o->n_ranges; r++)
            found |= (lr_bytes)((lr_bytes)(v - o->first[r]) <= (uint8_t)(o->last[r] - o->first[r]));
        const lr_bytes high = (lr_bytes)(v > 127);
        *not_ascii |= LR_BITS_OF(high) << i;
        bits |= LR_BITS_OF(found) << i;
    }
    return bits;
}
#else
LR_INLINE uint32_t lr_classify_32(const lr_text_options *o, int lowercase, const uint8_t *from,
                                  uint8_t *to, uint32_t *not_ascii) {
    uint32_t found = 0;
    *not_ascii = 0;
    for (int i = 0; i < 32; i++) {
        uint8_t c = from[i];
        if (lowercase && c >= 'A' && c <= 'Z') c |= 32;
        to[i] = c;
        for (int r = 0; r < o->n_ranges; r++)
            found |= (uint32_t)(c >= o->first[r] && c <= o->last[r]) << i;
        *not_ascii |= (uint32_t)(c > 127) << i;
    }
    return found;
}
#endif

/* The number of bits that are 0 below the lowest that is 1. */
#if defined(__GNUC__) || defined(__clang__)
#define lr_lowest(x) ((uint32_t)__builtin_ctzll(x))
#else
static inline uint32_t lr_lowest(uint64_t x) {
    uint32_t n = 0;
    for (; !(x & 1); x >>= 1) n++;
    return n;
}
#endif

LR_INLINE int lr_continues(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/* The character that begins at p, of n bytes at most; returns its bytes, 0 if it is none. Lone
   surrogates count as characters. */
LR_INLINE size_t lr_decode(const uint8_t *p, size_t n, uint32_t *code_point) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t length = p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf8 ? 4 : 0;
    if (!length || length > n) return 0;
    uint32_t value = p[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (!lr_continues(p[i])) return 0;
        value = value << 6 | (p[i] & 0x3f);
    }
    *code_point = value;
    return value >= least[length] && value < LR_CODE_POINTS ? length : 0;
}

/* Bits of all bytes of characters beyond ASCII that are in the class; whether the text is UTF-8. */
static inline int lr_classify_wide(const lr_text_options *o, const uint8_t *text, size_t n,
                                   uint64_t *in_class) {
    uint32_t c = 0;
    for (size_t i = 0; i < n;) {
        if (text[i] < 0x80) {
            i++;
            continue;
        }
        const size_t length = lr_decode(text + i, n - i, &c);
        if (!length) return 0;
        const uint64_t found = o->in_class ? o->in_class[c >> 3] >> (c & 7) & 1 : 0;
        for (size_t k = i; k < i + length; k++) in_class[k / 64] |= found << k % 64;
        i += length;
    }
    return 1;
}

/* The document, in lower case if asked for, to b->text, and which of its bytes are in the class to
   b->in_class, with a word of zeros behind. Returns 1 if it is ASCII, 0 if it is not, -1 if it is not
   UTF-8. */
static inline int lr_classify(const lr_text_options *o, int lowercase, const uint8_t *document,
                              size_t n, lr_text_buffers *b) {
    uint64_t not_ascii = 0;
    const size_t whole = n / 64 * 64;
    uint8_t rest[64] = {0};
    for (size_t i = 0; i < n; i += 64) {
        const uint8_t *from = document + i;
        if (i == whole) {
            /* Nothing is read behind the end of the document. */
            memcpy(rest, from, n - whole);
            from = rest;
        }
        uint32_t wide[2];
        const uint64_t low = lr_classify_32(o, lowercase, from, b->text + i, wide);
        const uint64_t high = lr_classify_32(o, lowercase, from + 32, b->text + i + 32, wide + 1);
        b->in_class[i / 64] = low | high << 32;
        not_ascii |= wide[0] | wide[1];
    }
    if (n > whole) b->in_class[whole / 64] &= ((uint64_t)1 << n % 64) - 1;
    b->in_class[(n + 63) / 64] = 0;
    if (!not_ascii) return 1;
    return lr_classify_wide(o, b->text, n, b->in_class) ? 0 : -1;
}

/* Where runs of ones in the bitmap of n bytes, and of zeros if `inverted`, begin and end; how many there
   are. */
static inline size_t lr_runs(const uint64_t *bits, size_t n, int inverted, uint32_t *start,
                             uint32_t *stop) {
    size_t n_starts = 0, n_stops = 0;
    uint64_t before = 0;
    for (size_t w = 0; w <= n / 64; w++) {
        uint64_t ones = bits[w];
        if (inverted) ones = ~ones;
        if (w == n / 64) ones &= ((uint64_t)1 << n % 64) - 1;
        const uint64_t shifted = ones << 1 | before >> 63;
        for (uint64_t s = ones & ~shifted; s; s &= s - 1)
            start[n_starts++] = (uint32_t)(64 * w) + lr_lowest(s);
        for (uint64_t s = ~ones & shifted; s; s &= s - 1)
            stop[n_stops++] = (uint32_t)(64 * w) + lr_lowest(s);
        before = ones;
    }
    return n_stops;
}

/* ---- terms ----------------------------------------------------------------------------------- */

/* Keys of the terms text[start[i]] to text[stop[i]], for which there is room; first and state are those
   of lr_murmur3_of_several. */
static inline void lr_hash_terms(const lr_text_options *o, const uint8_t *text,
                                 const uint32_t *start, const uint32_t *stop, uint32_t *first,
                                 uint32_t *state, size_t n, lr_text_buffers *b) {
    uint32_t hash[LR_HASHES], *keys = b->keys + b->n_keys;
    size_t i = 0;
    for (; i + LR_HASHES <= n; i += LR_HASHES) {
        lr_murmur3_of_several(text, start + i, stop + i, first + i, state + i, hash);
        lr_keys_of_several(&o->columns, hash, keys + i);
    }
    if (i < n) {
        /* The last ones, and empty terms beside them. */
        uint32_t four[4][LR_HASHES] = {{0}};
        const uint32_t *from[4] = {start + i, stop + i, first + i, state + i};
        for (int k = 0; k < 4; k++) memcpy(four[k], from[k], (n - i) * sizeof(uint32_t));
        lr_murmur3_of_several(text, four[0], four[1], four[2], four[3], hash);
        memcpy(first + i, four[2], (n - i) * sizeof(uint32_t));
        memcpy(state + i, four[3], (n - i) * sizeof(uint32_t));
        for (size_t l = 0; l < n - i; l++) keys[i + l] = lr_key(&o->columns, hash[l]);
    }
    b->n_keys += n;
}

/* Keys of the n-grams of pieces of a text, which lie one behind the other; whether there is memory. An
   n-gram begins as the one that is a piece shorter, so its hash goes on from there. */
static inline int lr_hash_ngrams(const lr_text_options *o, const uint8_t *text, const uint32_t *start,
                                 const uint32_t *stop, size_t n_pieces, lr_text_buffers *b) {
    memcpy(b->first, start, n_pieces * sizeof(uint32_t));
    memset(b->state, 0, n_pieces * sizeof(uint32_t));
    for (int64_t n = o->min_n; n <= o->max_n && (uint64_t)n <= n_pieces; n++) {
        const size_t n_terms = n_pieces - (size_t)n + 1;
        if (!lr_key_room(b, n_terms)) return 0;
        lr_hash_terms(o, text, start, stop + n - 1, b->first, b->state, n_terms, b);
    }
    return 1;
}

LR_INLINE void lr_copy(uint8_t *to, const uint8_t *from, size_t n) {
    memcpy(to, from, 32);
    if (n > 32) memcpy(to + 32, from + 32, n - 32);
}

static inline int lr_is_stop_word(const lr_text_options *o, const uint8_t *token, size_t n) {
    if (!(o->stop_lengths[token[0]] >> (n < 31 ? n : 31) & 1)) return 0;
    uint32_t slot = lr_murmur3(token, n);
    for (;; slot++) {
        const int32_t word = o->stop_table[slot & o->stop_mask];
        if (word < 0) return 0;
        const int64_t first = o->stop_bounds[word];
        if ((size_t)(o->stop_bounds[word + 1] - first) == n &&
            memcmp(o->stop_text + first, token, n) == 0)
            return 1;
    }
}

static inline size_t lr_n_characters(const uint8_t *text, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += !lr_continues(text[i]);
    return count;
}

/* Whether a run of so many bytes, enough if each were a character, is long enough and no stop word. */
static inline int lr_is_token(const lr_text_options *o, const uint8_t *run, size_t n) {
    if (n < 4 * o->min_length && lr_n_characters(run, n) < o->min_length) return 0;
    return !(o->stop_mask && lr_is_stop_word(o, run, n));
}

/* Tokens among runs of characters: those long enough, and no stop words. They stay where they are, or
   move together, with blanks between, if they are to be `joined`. Returns how many there are. */
LR_INLINE size_t lr_tokens(const lr_text_options *o, size_t n_runs, int plain, int joined,
                           lr_text_buffers *b) {
    size_t n_tokens = 0, end = 0;
    for (size_t i = 0; i < n_runs; i++) {
        const size_t first = b->start[i], length = b->stop[i] - first;
        size_t kept = length >= o->min_length;
        if (!plain && kept) kept = lr_is_token(o, b->text + first, length);
        if (joined) {
            lr_copy(b->joined + end, b->text + first, length);
            b->joined[end + length] = ' ';
        }
        b->start[n_tokens] = (uint32_t)(joined ? end : first);
        b->stop[n_tokens] = (uint32_t)((joined ? end : first) + length);
        n_tokens += kept;
        end += (length + 1) & (0 - kept);
    }
    return n_tokens;
}

static inline int lr_hash_words(const lr_text_options *o, size_t n, int ascii, lr_text_buffers *b) {
    const size_t n_runs = lr_runs(b->in_class, n, 0, b->start, b->stop);
    const int plain = ascii && !o->stop_mask, joined = o->max_n > 1;
    size_t n_tokens;
    /* With flags that are known, the loop has no branch that depends on the text. */
    if (!plain)
        n_tokens = lr_tokens(o, n_runs, 0, joined, b);
    else if (joined)
        n_tokens = lr_tokens(o, n_runs, 1, 1, b);
    else
        n_tokens = lr_tokens(o, n_runs, 1, 0, b);
    return lr_hash_ngrams(o, joined ? b->joined : b->text, b->start, b->stop, n_tokens, b);
}

/* Where the characters of a text begin, and where the last one ends; how many there are. */
static inline size_t lr_characters(const uint8_t *text, size_t n, int ascii, uint32_t *at) {
    size_t count = 0;
    if (ascii) {
        for (; count < n; count++) at[count] = (uint32_t)count;
    } else {
        for (size_t i = 0; i < n; i++) {
            /* What a continuation byte writes is overwritten by the next character. */
            at[count] = (uint32_t)i;
            count += !lr_continues(text[i]);
        }
    }
    at[count] = (uint32_t)n;
    return count;
}

/* Several blanks in a row become one space; a blank alone stays what it is. */
static inline int lr_hash_characters(const lr_text_options *o, size_t n, int ascii,
                                     lr_text_buffers *b) {
    const size_t n_runs = lr_runs(b->in_class, n, 0, b->start, b->stop);
    size_t end = 0, done = 0;
    for (size_t i = 0; i < n_runs; i++) {
        const size_t first = b->start[i], last = b->stop[i];
        if ((ascii ? last - first : lr_n_characters(b->text + first, last - first)) == 1) continue;
        memcpy(b->joined + end, b->text + done, first - done);
        end += first - done;
        b->joined[end++] = ' ';
        done = last;
    }
    const uint8_t *text = b->text;
    if (done) {
        memcpy(b->joined + end, b->text + done, n - done);
        end += n - done;
        text = b->joined;
    } else {
        end = n;
    }
    const size_t n_characters = lr_characters(text, end, ascii, b->at);
    return lr_hash_ngrams(o, text, b->at, b->at + 1, n_characters, b);
}

#define LR_TERMS 512

/* Terms on their way to be hashed. */
typedef struct {
    uint32_t start[LR_TERMS], stop[LR_TERMS], first[LR_TERMS], state[LR_TERMS];
    size_t n;
} lr_terms;

static inline int lr_flush_terms(const lr_text_options *o, lr_terms *terms, lr_text_buffers *b) {
    if (!lr_key_room(b, terms->n)) return 0;
    memcpy(terms->first, terms->start, terms->n * sizeof(uint32_t));
    memset(terms->state, 0, terms->n * sizeof(uint32_t));
    lr_hash_terms(o, b->joined, terms->start, terms->stop, terms->first, terms->state, terms->n, b);
    terms->n = 0;
    return 1;
}

/* n-grams of the characters of each word with a blank on either side; a word that is shorter is one
   term, and has no longer ones. */
static inline int lr_hash_characters_of_words(const lr_text_options *o, size_t n, int ascii,
                                              lr_text_buffers *b) {
    const size_t n_words = lr_runs(b->in_class, n, 1, b->start, b->stop);
    size_t end = 0;
    b->joined[end++] = ' ';
    for (size_t i = 0; i < n_words; i++) {
        const size_t first = b->start[i], length = b->stop[i] - first;
        lr_copy(b->joined + end, b->text + first, length);
        end += length;
        b->joined[end++] = ' ';
        /* Characters of the word, with both blanks. */
        b->start[i] = (uint32_t)(ascii ? length : lr_n_characters(b->text + first, length)) + 2;
    }
    lr_characters(b->joined, end, ascii, b->at);
    lr_terms terms;
    terms.n = 0;
    const uint32_t *at = b->at;
    for (size_t i = 0; i < n_words; i++) {
        const int64_t length = b->start[i];
        for (int64_t size = o->min_n; size <= o->max_n; size++) {
            const int64_t shorter = size < length ? size : length;
            for (int64_t k = 0; k <= length - shorter; k++) {
                if (terms.n == LR_TERMS && !lr_flush_terms(o, &terms, b)) return 0;
                terms.start[terms.n] = at[k];
                terms.stop[terms.n++] = at[k + shorter];
            }
            if (size >= length) break;
        }
        at += length - 1;
    }
    return lr_flush_terms(o, &terms, b);
}

/* The keys of the terms of a document of n bytes into b->keys; 0, or what went wrong. */
static inline int lr_hash_document(const lr_text_options *o, int lowercase, const uint8_t *document,
                                   size_t n, lr_text_buffers *b) {
    b->n_keys = 0;
    if (n > LR_LONGEST || !lr_buffers_for(b, n)) return LR_NO_MEMORY;
    const int ascii = lr_classify(o, lowercase, document, n, b);
    if (ascii < 0) return LR_NOT_UTF8;
    int done;
    if (o->analyzer == LR_WORDS)
        done = lr_hash_words(o, n, ascii, b);
    else if (o->analyzer == LR_CHARS)
        done = lr_hash_characters(o, n, ascii, b);
    else
        done = lr_hash_characters_of_words(o, n, ascii, b);
    return done ? 0 : LR_NO_MEMORY;
}

/* Documents in UTF-8 one behind the other: where they begin, and the last one ends; and which of them
   are in lower case already, NULL for none. */
typedef struct {
    const uint8_t *text;
    const int64_t *offsets;
    const uint8_t *as_is;
    int64_t n;
} lr_documents;

/* The documents from `first` to `stop` as rows of counts, and how many columns each has. */
static inline void lr_hash_documents(const lr_text_options *o, const lr_documents *documents,
                                     int64_t first, int64_t stop, lr_count_rows *rows,
                                     int64_t *row_sizes) {
    lr_text_buffers b = {0};
    for (int64_t i = first; i < stop && !rows->failed; i++) {
        const size_t before = rows->size;
        const int64_t start = documents->offsets[i];
        const int lowercase = o->lowercase && !(documents->as_is && documents->as_is[i]);
        rows->row = i;
        rows->failed = lr_hash_document(o, lowercase, documents->text + start,
                                        (size_t)(documents->offsets[i + 1] - start), &b);
        if (!rows->failed) rows->failed = lr_append_row(rows, b.keys, b.spare, b.n_keys, &o->columns);
        row_sizes[i] = (int64_t)(rows->size - before);
    }
    lr_free_buffers(&b);
}
#endif
