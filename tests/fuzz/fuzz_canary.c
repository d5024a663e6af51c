/* tests/fuzz/fuzz_canary.c: a planted bug that the fuzzer must find; a run that misses it proves nothing. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= 3 && data[0] == 'W' && data[1] == 'R' && data[2] == '!') {
        abort();
    }
    return 0;
}
