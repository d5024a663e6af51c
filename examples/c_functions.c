/* examples/c_functions.c: two functions in C that tasks can call, in a library that C workers load.
 *
 *   cc -shared -fPIC -Iinclude -o c_functions.so examples/c_functions.c
 */
#include "whipray/whipray.h"

#include <string.h>
#include <unistd.h>

/* Sums 64-bit integers. */
static wr_status sum(wr_c_call *call, const uint8_t *args, uint64_t arg_bytes, wr_error *err) {
    if (arg_bytes % sizeof(int64_t) != 0) {
        return wr_error_set(err, WR_E_INVALID, __FILE__, __LINE__,
                            "sum: %llu bytes are no array of 64-bit integers", (unsigned long long)arg_bytes);
    }
    int64_t total = 0;
    for (uint64_t at = 0; at < arg_bytes; at += sizeof(int64_t)) {
        int64_t value;
        memcpy(&value, args + at, sizeof value); /* the bytes need not be aligned */
        total += value;
    }
    return wr_c_return(call, &total, sizeof total, err);
}

/* The process that runs it. */
static wr_status whoami(wr_c_call *call, const uint8_t *args, uint64_t arg_bytes, wr_error *err) {
    (void)args;
    (void)arg_bytes;
    const int64_t pid = getpid();
    return wr_c_return(call, &pid, sizeof pid, err);
}

/* The worker calls this once, after it has loaded the library. */
WR_API void whipray_register(void);

void whipray_register(void) {
    /* A name that is taken already fails here; then the first registration stays. */
    (void)!wr_c_register("sum", sum, NULL);
    (void)!wr_c_register("whoami", whoami, NULL);
}
