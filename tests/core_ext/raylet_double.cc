// The raylet of the extension's tests: a FakeRaylet (tests/unit/worker) as a program.
//
// Prints the path of its socket and the token, a line each, then answers one line per line of stdin; its end
// is the program's.
//   actor            opens an actor port for the next worker that says hello -> the port
//   again PORT       the next worker that says hello gets that actor port -> ok
//   stats            -> rows candidates heap_leased slots_live of the keeper
//   assign PID PORT  gives a worker another port (0: none) -> ok
//   exit PID         asks a worker to end -> ok
//   hold HANDLE      the raylet holds an object that was shared -> ok
//   dead PORT        an actor is dead for good: its calls fail -> ok
//   kill             the raylet dies without a word -> ok
#include <cstdio>
#include <cstring>
#include <string>

#include "tests/unit/worker/fake_raylet.h"

namespace {

void ErrorOf(FakeRaylet *raylet, wr_result *out) {
    wr_error error = {};
    WR_FAIL(&error, WR_E_ACTOR_DIED, "the actor died of old age");
    wr_store_error_encode(raylet->pool, wr_keeper_proc(raylet->keeper), &error, out);
}

wr_handle CauseOf(FakeRaylet *raylet) {
    wr_result error;
    wr_handle cause = 0;
    ErrorOf(raylet, &error);
    if (wr_proc_put(wr_keeper_proc(raylet->keeper), &error, &cause, nullptr) == WR_OK) {
        wr_proc_share(wr_keeper_proc(raylet->keeper), cause);
    }
    return cause;
}

void CallLost(void *arg, wr_handle, uint32_t, wr_lost_reason, uint32_t, wr_result *out) {
    ErrorOf((FakeRaylet *)arg, out);
}

} // namespace

int main() {
    FakeRaylet raylet;
    printf("%s\n%s\n", raylet.socket_path.c_str(), FakeRaylet::kToken);
    fflush(stdout);
    char line[256];
    uint32_t assigned = 1000;
    while (fgets(line, sizeof line, stdin) != nullptr) {
        int pid = 0;
        unsigned port = 0;
        unsigned long long handle = 0;
        if (strcmp(line, "actor\n") == 0) {
            const uint16_t opened = raylet.OpenActorPort();
            raylet.AssignNextWorkerTo(opened);
            printf("%u\n", (unsigned)opened);
        } else if (sscanf(line, "again %u", &port) == 1) {
            raylet.AssignNextWorkerTo((uint16_t)port);
            printf("ok\n");
        } else if (strcmp(line, "stats\n") == 0) {
            const wr_keeper_stats stats = raylet.Stats();
            printf("%llu %llu %llu %u\n", (unsigned long long)stats.rows,
                   (unsigned long long)stats.candidates, (unsigned long long)stats.heap_leased,
                   stats.slots_live);
        } else if (sscanf(line, "assign %d %u", &pid, &port) == 2) {
            raylet.Assign(raylet.SlotOf(pid), 0x10000u * ++assigned | port);
            printf("ok\n");
        } else if (sscanf(line, "exit %d", &pid) == 1) {
            raylet.Assign(raylet.SlotOf(pid), WR_ASSIGN_EXIT);
            printf("ok\n");
        } else if (sscanf(line, "hold %llu", &handle) == 1) {
            std::lock_guard<std::mutex> hold(raylet.lock);
            wr_keeper_hold(raylet.keeper, handle);
            printf("ok\n");
        } else if (sscanf(line, "dead %u", &port) == 1) {
            std::lock_guard<std::mutex> hold(raylet.lock);
            wr_keeper_port_fail(raylet.keeper, (uint16_t)port, CauseOf(&raylet), WR_LOST_ACTOR_DIED, CallLost,
                                &raylet);
            printf("ok\n");
        } else if (strcmp(line, "kill\n") == 0) {
            raylet.Kill();
            printf("ok\n");
        } else {
            printf("unknown\n");
        }
        fflush(stdout);
    }
    return 0;
}
