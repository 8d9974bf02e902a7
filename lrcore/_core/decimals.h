/* Numbers as text: the fewest digits that are read as the same number, and of these the nearest, as
   Python's `repr` has them; and the rows of a CSR matrix as lines of svmlight text.

   The decimals that are read as a number are those between the midpoints to its neighbours. Among them
   is the shortest one found by three products with a power of ten, 128 bits of it, rounded to odd
   (R. Giulietti, "The Schubfach way to render doubles", 2020). The powers are those of numbers.h. */
#ifndef LRCORE_DECIMALS_H
#define LRCORE_DECIMALS_H
#include <stdint.h>
#include <string.h>

#include "flush.h"
#include "numbers.h"

/* Bytes that a number takes at most, and an index with what is around it and its value; and bytes that
   digits are copied in, which is quicker than as many as there are: text has room for so many more. */
#define LR_MOST_NUMBER 25
#define LR_MOST_PAIR (LR_MOST_NUMBER + 22)
#define LR_COPIED 20

typedef struct {
    uint64_t digits;
    int exponent; /* of ten */
} lr_decimal;

/* The upper and lower 64 bits of a product. */
static inline uint64_t lr_product(uint64_t a, uint64_t b, uint64_t *lower) {
#ifdef __SIZEOF_INT128__
    unsigned __int128 product = (unsigned __int128)a * b;
    *lower = (uint64_t)product;
    return (uint64_t)(product >> 64);
#else
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0, mid = a1 * b0 + (low >> 32), more = a0 * b1 + (uint32_t)mid;
    *lower = more << 32 | (uint32_t)low;
    return a1 * b1 + (mid >> 32) + (more >> 32);
#endif
}

/* The upper 64 bits of c times a power of ten, the last of them 1 if anything is below. */
static inline uint64_t lr_odd_product(uint64_t upper, uint64_t lower, uint64_t c) {
    uint64_t unused, low, carry = lr_product(lower, c, &unused);
    uint64_t high = lr_product(upper, c, &low);
    low += carry;
    high += low < carry;
    return high | (low > 1);
}

/* The shortest decimal of c * 2**q > 0; the neighbour below is `closer` if c is a power of two. */
static inline lr_decimal lr_shortest(uint64_t c, int q, int closer) {
    lr_decimal found = {c, 0};
    if (q <= 0 && q > -53 && (c & (((uint64_t)1 << -q) - 1)) == 0) {
        found.digits = c >> -q; /* a whole number */
        return found;
    }
    int odd = (int)(c & 1);
    int k = (q * 1262611 - (closer ? 524031 : 0)) >> 22; /* floor(log10(2**q)), or of 3/4 of it */
    int h = q + ((-k * 1741647) >> 19) + 1;              /* floor(log2(10**-k)) */
    const uint64_t *power = lr_powers[-k - LR_LEAST_POWER];
    /* The table has powers rounded down, but those from -27 to -1; here they are rounded up. */
    uint64_t low = power[1] + (-k > 55 || -k < -27), high = power[0] + (low < power[1]);
    uint64_t below = lr_odd_product(high, low, (4 * c - 2 + (uint64_t)closer) << h) + (uint64_t)odd;
    uint64_t value = lr_odd_product(high, low, (4 * c) << h);
    uint64_t above = lr_odd_product(high, low, (4 * c + 2) << h) - (uint64_t)odd;
    uint64_t s = value / 4, tenth = s / 10;
    if (s >= 10) {
        int down = below <= 40 * tenth, up = 40 * tenth + 40 <= above;
        if (down != up) {
            found.digits = tenth + (uint64_t)up;
            found.exponent = k + 1;
            return found;
        }
    }
    int down = below <= 4 * s, up = 4 * s + 4 <= above;
    if (down == up) up = value > 4 * s + 2 || (value == 4 * s + 2 && (s & 1)); /* the nearer one */
    found.digits = s + (uint64_t)up;
    found.exponent = k;
    return found;
}

static inline lr_decimal lr_shortest_double(double value) {
    uint64_t bits, c;
    memcpy(&bits, &value, 8);
    c = bits & (((uint64_t)1 << 52) - 1);
    int exponent = (int)(bits >> 52 & 0x7ff);
    if (exponent == 0) return lr_shortest(c, -1074, 0);
    return lr_shortest(c | (uint64_t)1 << 52, exponent - 1075, c == 0 && exponent > 1);
}

/* That of float32. It is read as float64 first, which may be the midpoint to another float32: then it
   has to have the digits of float64. */
static inline lr_decimal lr_shortest_float(float value) {
    uint32_t bits, c;
    memcpy(&bits, &value, 4);
    c = bits & ((1u << 23) - 1);
    int exponent = (int)(bits >> 23 & 0xff);
    lr_decimal found = exponent == 0
        ? lr_shortest(c, -149, 0)
        : lr_shortest(c | 1u << 23, exponent - 150, c == 0 && exponent > 1);
    double read;
    if (lr_scale(found.digits, found.exponent, &read) && (float)read == value) return found;
    return lr_shortest_double(value);
}

static const char lr_pairs[] =
    "00010203040506070809101112131415161718192021222324"
    "25262728293031323334353637383940414243444546474849"
    "50515253545556575859606162636465666768697071727374"
    "75767778798081828384858687888990919293949596979899";

static inline char *lr_write_integer(char *to, uint64_t w) {
    char room[2 * LR_COPIED] = {0}, *p = room + LR_COPIED;
    uint32_t part;
    while (w >= 100000000) {
        part = (uint32_t)(w % 100000000);
        w /= 100000000;
        for (int i = 0; i < 4; i++, part /= 100) memcpy(p -= 2, lr_pairs + part % 100 * 2, 2);
    }
    for (part = (uint32_t)w; part >= 100; part /= 100) memcpy(p -= 2, lr_pairs + part % 100 * 2, 2);
    if (part >= 10) memcpy(p -= 2, lr_pairs + part * 2, 2);
    else if (part || p == room + LR_COPIED) *--p = (char)('0' + part);
    memcpy(to, p, LR_COPIED);
    return to + (room + LR_COPIED - p);
}

/* A decimal as Python writes it, without ".0" at the end of whole numbers. */
static inline char *lr_write_decimal(char *to, lr_decimal value) {
    char digits[2 * LR_COPIED] = {0};
    if (value.digits % 100000000 == 0) {
        value.digits /= 100000000;
        value.exponent += 8;
    }
    while (value.digits % 10 == 0) {
        value.digits /= 10;
        value.exponent++;
    }
    int n = (int)(lr_write_integer(digits, value.digits) - digits), point = n + value.exponent;
    if (point < -3 || point > 16) {
        *to++ = digits[0];
        if (n > 1) {
            *to++ = '.';
            memcpy(to, digits + 1, LR_COPIED);
            to += n - 1;
        }
        *to++ = 'e';
        *to++ = point < 1 ? '-' : '+';
        int exponent = point < 1 ? 1 - point : point - 1;
        if (exponent < 10) *to++ = '0';
        return lr_write_integer(to, (uint64_t)exponent);
    }
    if (point <= 0) {
        memcpy(to, "0.000", 5);
        to += 2 - point;
        memcpy(to, digits, LR_COPIED);
        return to + n;
    }
    int whole = n < point ? n : point;
    memcpy(to, digits, LR_COPIED);
    to += whole;
    for (; whole < point; whole++) *to++ = '0';
    if (n > point) {
        *to++ = '.';
        memcpy(to, digits + point, LR_COPIED);
        to += n - point;
    }
    return to;
}

static inline char *lr_write_double(char *to, double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    if (bits >> 63) {
        *to++ = '-';
        value = -value;
    }
    /* The commonest values by far, and 0, which has no shortest digits. */
    if (value < 1e15 && (double)(uint64_t)value == value) return lr_write_integer(to, (uint64_t)value);
    return lr_write_decimal(to, lr_shortest_double(value));
}

static inline char *lr_write_float(char *to, float value) {
    /* A whole number below 2**24 has the same digits in both. */
    if (value == 0 || (value < 16777216 && value > -16777216 && (float)(int32_t)value == value))
        return lr_write_double(to, value);
    if (value < 0) *to++ = '-';
    return lr_write_decimal(to, lr_shortest_float(value < 0 ? -value : value));
}

/* Write rows as lines: what comes first in each, given with where it ends, and its values. Returns where
   the text ends, which has room for all of them. */
static char *lr_write_rows(
    char *to, int64_t n_rows, const char *first, const int64_t *first_ends, const int64_t *ends,
    const int64_t *indices, const void *data, int is_double, int64_t first_index
) {
    lr_mode before = lr_keep();
    int64_t begun = 0, j = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        size_t n = (size_t)(first_ends[i] - begun);
        memcpy(to, first + begun, n);
        to += n;
        begun = first_ends[i];
        for (; j < ends[i]; j++) {
            *to++ = ' ';
            to = lr_write_integer(to, (uint64_t)(indices[j] + first_index));
            *to++ = ':';
            to = is_double ? lr_write_double(to, ((const double *)data)[j])
                           : lr_write_float(to, ((const float *)data)[j]);
        }
        *to++ = '\n';
    }
    lr_restore(before);
    return to;
}
#endif
