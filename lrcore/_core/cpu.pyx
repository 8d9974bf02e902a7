"""What the processor can run. Built for the plainest processor, so that it can always be asked."""

cdef extern from *:
    """
    #if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    #include <cpuid.h>
    static unsigned lr_xcr0(void) {
        unsigned low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        (void)high;
        return low;
    }
    /* The x86-64 microarchitecture level of the psABI, 1 to 4; 0 on other processors. A level
       counts only if the operating system saves its registers, which XGETBV tells. */
    static int lr_level(void) {
        unsigned a, b, c, d, ext = 0, saved;
        const unsigned v2 = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23;
        const unsigned v3 = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29;
        const unsigned v3b = 1u << 3 | 1u << 5 | 1u << 8;
        const unsigned v4b = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
        if (!__get_cpuid(1, &a, &b, &c, &d) || (c & v2) != v2) return 1;
        if ((c & v3) != v3) return 2;
        saved = lr_xcr0();
        if ((saved & 0x6) != 0x6) return 2;
        if (!__get_cpuid(0x80000001u, &a, &b, &ext, &d) || !(ext & 1u << 5)) return 2;
        if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & v3b) != v3b) return 2;
        if ((b & v4b) != v4b || (saved & 0xe6) != 0xe6) return 3;
        return 4;
    }
    #else
    static int lr_level(void) { return 0; }
    #endif
    """
    int lr_level() nogil


def level():
    """The processor's x86-64 level, 1 to 4, or 0 if it is of another family."""
    return lr_level()


cdef extern from "flush.h":
    ctypedef unsigned long Mode "lr_mode"
    Mode lr_flush() nogil
    Mode lr_keep() nogil
    void lr_restore(Mode before) nogil


cdef class Flushing:
    """Rounding to the nearest number, and with those below the normal range taken for 0, as in the
    compiled kernels."""
    cdef Mode before

    def __enter__(self):
        self.before = lr_flush()

    def __exit__(self, *error):
        lr_restore(self.before)


cdef class Nearest:
    """Rounding to the nearest number, whatever the processor was told before."""
    cdef Mode before

    def __enter__(self):
        self.before = lr_keep()

    def __exit__(self, *error):
        lr_restore(self.before)
