/* libwhipray.so is the static libraries as a whole; CMake wants a source of its own for a library. This one names what was built. */
#include "whipray/whipray.h"

const char *wr_version(void) {
    return "0.1.0";
}
