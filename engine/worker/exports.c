/* libwhipray.so is the static libraries as a whole; CMake wants one source of its own. */
#include "whipray/whipray.h"

const char *wr_version(void) {
    return "0.1.0";
}
