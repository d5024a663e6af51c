/* Program whipray-worker: runs a job's C functions; started by the raylet. */
#include "whipray/whipray.h"

int main(int argc, char **argv) {
    return wr_c_worker_main(argc, argv);
}
