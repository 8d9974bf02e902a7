/* Decimal numbers in text as float64, rounded exactly as Python's `float` does.

   A number is a sign, digits with at most one point, and an exponent: no "nan", no "inf", no "1_0", no
   hexadecimal digits. Up to 19 digits are one integer w, so that the number is w * 10**q. Its nearest
   float64 follows from the upper 64 bits of w times 128 bits of 10**q (D. Lemire, "Number parsing at a
   gigabyte per second", 2021), integer arithmetic alone. Where these bits do not decide, where there
   are more digits, and outside of the normal range, the C library does it, in the C locale. */
#ifndef LRCORE_NUMBERS_H
#define LRCORE_NUMBERS_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#define LR_LEAST_POWER (-342)
#define LR_MOST_POWER 324

/* The upper and lower 64 bits of the significands of 10**LR_LEAST_POWER to 10**LR_MOST_POWER, filled by
   `lr_numbers_begin` when the module is imported, and the C locale. */
static uint64_t lr_powers[LR_MOST_POWER - LR_LEAST_POWER + 1][2];
static locale_t lr_c_locale;

static const uint64_t lr_tens[9] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
};

static inline int lr_is_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* What ends a word of svmlight text, as for Python's `bytes.split`. */
static inline int lr_is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r' && c != '\n'); }

/* Append the digits at p to the integer *w, modulo 2**64; returns where they end. */
static inline const char *lr_digits(const char *p, const char *end, uint64_t *w) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(__GNUC__)
    while (end - p >= 8) {
        uint64_t eight, other;
        unsigned n;
        memcpy(&eight, p, 8);
        eight ^= 0x3030303030303030u;
        /* The upper bit of each byte that is above 9; a carry only reaches bytes behind such a one. */
        other = (eight | (eight + 0x7676767676767676u)) & 0x8080808080808080u;
        n = other ? (unsigned)__builtin_ctzll(other) >> 3 : 8;
        if (n == 0) return p;
        eight <<= 64 - 8 * n;
        eight = eight * 10 + (eight >> 8);
        eight = ((eight & 0x000000ff000000ffu) * 0x000f424000000064u +
                 ((eight >> 16) & 0x000000ff000000ffu) * 0x0000271000000001u) >> 32;
        *w = *w * lr_tens[n] + (uint32_t)eight;
        p += n;
        if (n < 8) return p;
    }
#endif
    for (; p < end && lr_is_digit(*p); p++) *w = *w * 10 + (uint64_t)(*p - '0');
    return p;
}

/* The C library's result for the text from p to end, which is a number. Returns 0 without memory. */
static int lr_slow_number(const char *p, const char *end, double *out) {
    char room[64], *text = room;
    size_t n = (size_t)(end - p);
    if (n >= sizeof room && !(text = malloc(n + 1))) return 0;
    memcpy(text, p, n);
    text[n] = 0;
    *out = strtod_l(text, NULL, lr_c_locale);
    if (text != room) free(text);
    return 1;
}

/* w * 10**q as float64; 0 where this takes more than 128 bits, or the result is not a normal number. */
static inline int lr_scale(uint64_t w, int64_t q, double *out) {
    if (w == 0 || (q == 0 && w >> 53 == 0)) {
        *out = (double)w;
        return 1;
    }
#ifdef __SIZEOF_INT128__
    if (q < LR_LEAST_POWER || q > LR_MOST_POWER) return 0;
    const uint64_t *power = lr_powers[q - LR_LEAST_POWER];
    int zeros = __builtin_clzll(w);
    unsigned __int128 product = (unsigned __int128)(w << zeros) * power[0];
    uint64_t upper = (uint64_t)(product >> 64), lower = (uint64_t)product, mantissa;
    /* 55 bits are needed; if the nine below them are ones, a carry from further below may change them. */
    if ((upper & 0x1ff) == 0x1ff) {
        uint64_t more = (uint64_t)(((unsigned __int128)(w << zeros) * power[1]) >> 64);
        lower += more;
        upper += lower < more;
        if (lower == UINT64_MAX && (q < -27 || q > 55)) return 0;
    }
    int top = (int)(upper >> 63);
    int64_t exponent = ((217706 * q) >> 16) + 63 + 1023 + top - zeros;
    if (exponent <= 0) return 0;
    mantissa = upper >> (top + 9);
    /* Halfway between two numbers, which only these powers can be: to the even one. */
    if (lower <= 1 && q >= -4 && q <= 23 && (mantissa & 3) == 1 && mantissa << (top + 9) == upper)
        mantissa &= ~(uint64_t)1;
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (mantissa >> 53) {
        mantissa >>= 1;
        exponent++;
    }
    if (exponent >= 0x7ff) return 0;
    mantissa = (mantissa & ~((uint64_t)1 << 52)) | (uint64_t)exponent << 52;
    memcpy(out, &mantissa, 8);
    return 1;
#else
    return 0;
#endif
}

/* The number that begins at p; returns where it ends, or NULL if there is none. What follows it is for
   the caller to judge. A number beyond float64 is infinite. */
static inline const char *lr_number(const char *p, const char *end, double *out) {
    const char *start = p, *first, *digits;
    uint64_t w = 0;
    int64_t q = 0, n;
    int negative = 0;
    if (p < end && (*p == '-' || *p == '+')) negative = *p++ == '-';
    first = p;
    while (p < end && *p == '0') p++;
    digits = p;
    p = lr_digits(p, end, &w);
    n = p - digits;
    int any = p > first;
    if (p < end && *p == '.') {
        const char *point = ++p;
        if (n == 0)
            while (p < end && *p == '0') p++;
        digits = p;
        p = lr_digits(p, end, &w);
        n += p - digits;
        q = point - p;
        any |= p > point;
    }
    if (!any) return NULL;
    if (p < end && (*p | 32) == 'e') {
        int64_t exponent = 0;
        int below = 0;
        p++;
        if (p < end && (*p == '-' || *p == '+')) below = *p++ == '-';
        if (p >= end || !lr_is_digit(*p)) return NULL;
        for (; p < end && lr_is_digit(*p); p++)
            if (exponent < 1000000) exponent = exponent * 10 + (*p - '0');
        q += below ? -exponent : exponent;
    }
    if (n > 19 || !lr_scale(w, q, out)) return lr_slow_number(start, p, out) ? p : NULL;
    if (negative) *out = -*out;
    return p;
}
#endif
