// Worker processes of the tests: forked, connected to a FakeRaylet, running the functions below by number.
#pragma once

#include <sys/prctl.h>

#include "tests/unit/worker/fake_raylet.h"

enum TestFunction : uint32_t {
    kNothing = 0,     // no result: an empty value
    kEcho = 1,        // its argument bytes
    kPid = 2,         // of the worker
    kSum = 3,         // of the int64 in its reference arguments
    kFlaky = 4,       // fails as long as attempt < first argument byte; asks to be retried
    kGenerate = 5,    // argument: u64 n; yields 0 .. n - 1
    kExitAt = 6,      // as kGenerate, but exits the process on attempt 0 after half of the items
    kUntilWanted = 7, // runs until its cancel is wanted, then fails as cancelled
    kThree = 8,       // three values, the second with a buffer of 5000 bytes
    kExit = 9,        // exits the process on attempt 0; then the attempt number
    kSumNested = 10,  // of the int64 in its nested refs
    kKeep = 11,       // borrows its first nested ref for good; later calls sum what was kept
    kAttempt = 12,    // its attempt number
    kFork = 13, // forks a child that reads its first argument's buffer and exits: how many bytes it summed up
    kReturnRef = 14,   // puts 42 and returns a value that names the ref
    kInner = 15,       // submits kEcho on its own class port and returns its result
    kBorrowedArg = 16, // as kInner, but the inner task gets the nested ref of its own argument as argument
};

namespace worker_process {

inline bool Finish(wr_client *client, wr_task *task, const void *bytes, uint64_t count,
                   wr_kind kind = WR_KIND_VALUE) {
    wr_value value = {};
    value.stream = (const uint8_t *)bytes;
    value.stream_bytes = count;
    wr_error err = {};
    if (wr_task_result(client, task, kind, &value, 1, &err) != WR_OK) {
        return wr_task_fail(client, task, &err);
    }
    return wr_task_seal(client, task);
}

inline int64_t NumberOf(wr_client *client, wr_ref ref) {
    wr_view view;
    int64_t number = 0;
    if (wr_view_get(client, ref, &view, nullptr) == WR_OK && view.stream_bytes == sizeof number) {
        memcpy(&number, view.stream, sizeof number);
    }
    return number;
}

inline void Generate(wr_client *client, wr_task *task) {
    uint64_t n = 0;
    memcpy(&n, task->args.stream, sizeof n);
    for (uint64_t i = 0; i < n; i++) {
        if (task->function == kExitAt && task->attempt == 0 && i == n / 2) {
            _exit(9);
        }
        wr_value value = {};
        value.stream = (const uint8_t *)&i;
        value.stream_bytes = sizeof i;
        wr_status status;
        while ((status = wr_task_yield(client, task, WR_KIND_VALUE, &value, nullptr)) == WR_E_AGAIN) {
            if (wr_task_yield_wait(client, task, UINT64_MAX) == WR_E_RAYLET_DIED) {
                _exit(8);
            }
        }
        if (status != WR_OK) {
            break;
        }
    }
    Finish(client, task, nullptr, 0);
}

inline void Inner(wr_client *client, wr_task *task) {
    uint8_t *reply = nullptr;
    uint64_t bytes = 0;
    wr_error err = {};
    if (wr_client_call(client, "class_open", nullptr, 0, 0, &reply, &bytes, &err) != WR_OK) {
        wr_task_fail(client, task, &err);
        return;
    }
    const wr_record r = {reply, (uint32_t)bytes};
    wr_call call = {};
    call.port = (uint32_t)wr_record_get_int(&r, "port", 0);
    call.ring = (uint32_t)wr_record_get_int(&r, "ring", 0);
    wr_bytes_free(reply);
    wr_ref lent = 0;
    if (task->function == kInner) {
        call.function = kEcho;
        call.args.stream = (const uint8_t *)"inner";
        call.args.stream_bytes = 5;
    } else {
        lent = task->args.refs[0];
        call.function = kSum;
        call.refs = &lent;
        call.ref_count = 1;
    }
    wr_ref inner = 0;
    if (wr_submit(client, &call, &inner, &err) != WR_OK) {
        wr_task_fail(client, task, &err);
        return;
    }
    wr_blocked_begin(client);
    wr_status status;
    while ((status = wr_wait(client, inner, UINT64_MAX)) == WR_E_INTERRUPTED) {
    }
    wr_blocked_end(client);
    wr_view view;
    if (status == WR_OK && wr_view_get(client, inner, &view, &err) == WR_OK) {
        Finish(client, task, view.stream, view.stream_bytes, view.kind);
    } else {
        wr_task_fail(client, task, &err);
    }
    wr_unref(client, inner);
}

inline void ForkAndRead(wr_client *client, wr_task *task) {
    wr_view view;
    const uint8_t *data = nullptr;
    uint64_t bytes = 0;
    int channel[2];
    wr_error err = {};
    if (wr_view_get(client, task->refs[0], &view, &err) != WR_OK ||
        !wr_view_buffer(&view, 0, &data, &bytes) || pipe(channel) != 0) {
        wr_task_fail(client, task, &err);
        return;
    }
    const pid_t child = fork();
    if (child == 0) {
        wr_client_forked(client);
        uint64_t sum = 0;
        for (uint64_t i = 0; i < bytes; i++) {
            sum += data[i];
        }
        wr_ref ref = 0;
        wr_value value = {};
        // Everything is refused, and nothing is disturbed.
        if (wr_put(client, &value, &ref, nullptr) != WR_E_STATE ||
            wr_wait(client, task->ref, 0) != WR_E_STATE || wr_client_health(client) != WR_E_STATE ||
            wr_peek(client, task->refs[0]) != WR_KIND_PENDING) {
            sum = 0;
        }
        wr_unref(client, task->refs[0]);
        wr_task_seal(client, task);
        ssize_t ignored = write(channel[1], &sum, sizeof sum);
        (void)ignored;
#ifdef __SANITIZE_ADDRESS__
        _exit(0); // its leak check cannot see through the mappings that a child lacks
#else
        exit(0); // not _exit: destructors and exit handlers run in real children, too
#endif
    }
    uint64_t sum = 0;
    if (read(channel[0], &sum, sizeof sum) != sizeof sum) {
        sum = 0;
    }
    close(channel[0]);
    close(channel[1]);
    waitpid(child, nullptr, 0);
    Finish(client, task, &sum, sizeof sum);
}

inline void Run(wr_client *client, wr_task *task) {
    static wr_ref kept = 0;
    switch (task->function & ~WR_METHOD) {
    case kNothing:
        Finish(client, task, nullptr, 0);
        return;
    case kEcho:
        Finish(client, task, task->args.stream, task->args.stream_bytes);
        return;
    case kPid: {
        const int64_t pid = getpid();
        Finish(client, task, &pid, sizeof pid);
        return;
    }
    case kSum:
    case kSumNested: {
        const bool nested = task->function == kSumNested;
        const uint32_t n = nested ? task->args.ref_count : task->ref_count;
        int64_t sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            sum += NumberOf(client, nested ? task->args.refs[i] : task->refs[i]);
        }
        Finish(client, task, &sum, sizeof sum);
        return;
    }
    case kFlaky:
        if (task->attempt < task->args.stream[0]) {
            wr_error err = {};
            WR_FAIL(&err, WR_E_TASK_FAILED, "attempt %u failed", task->attempt);
            if (!wr_task_retry(client, task)) {
                wr_task_fail(client, task, &err);
            }
            return;
        }
        [[fallthrough]];
    case kAttempt: {
        const int64_t attempt = task->attempt;
        Finish(client, task, &attempt, sizeof attempt);
        return;
    }
    case kGenerate:
    case kExitAt:
        Generate(client, task);
        return;
    case kUntilWanted: {
        while (wr_worker_cancel_wanted(client) != task->ref && wr_client_health(client) == WR_OK) {
            sched_yield();
        }
        wr_error err = {};
        WR_FAIL(&err, WR_E_CANCELLED, "cancelled while it ran");
        wr_task_fail(client, task, &err);
        return;
    }
    case kThree: {
        const std::string big(5000, 'b');
        const wr_buffer buffer = {big.data(), big.size()};
        wr_value values[3] = {};
        values[0].stream = (const uint8_t *)"first";
        values[0].stream_bytes = 5;
        values[1].buffers = &buffer;
        values[1].buffer_count = 1;
        values[2].stream = (const uint8_t *)"third";
        values[2].stream_bytes = 5;
        wr_error err = {};
        if (wr_task_result(client, task, WR_KIND_VALUE, values, 3, &err) == WR_OK) {
            wr_task_seal(client, task);
        } else {
            wr_task_fail(client, task, &err);
        }
        return;
    }
    case kExit:
        if (task->attempt == 0) {
            _exit(7);
        } else {
            const int64_t attempt = task->attempt;
            Finish(client, task, &attempt, sizeof attempt);
        }
        return;
    case kKeep: {
        if (task->args.ref_count != 0) {
            kept = task->args.refs[0];
            wr_borrow(client, kept);
        }
        const int64_t number = NumberOf(client, kept);
        Finish(client, task, &number, sizeof number);
        return;
    }
    case kFork:
        ForkAndRead(client, task);
        return;
    case kReturnRef: {
        const int64_t number = 42;
        wr_value inner = {};
        inner.stream = (const uint8_t *)&number;
        inner.stream_bytes = sizeof number;
        wr_ref ref = 0;
        wr_error err = {};
        if (wr_put(client, &inner, &ref, &err) != WR_OK) {
            wr_task_fail(client, task, &err);
            return;
        }
        wr_value outer = {};
        outer.refs = &ref;
        outer.ref_count = 1;
        if (wr_task_result(client, task, WR_KIND_VALUE, &outer, 1, &err) != WR_OK) {
            wr_unref(client, ref);
            wr_task_fail(client, task, &err);
            return;
        }
        wr_unref(client, ref); // as user code drops its value before the seal
        wr_task_seal(client, task);
        return;
    }
    case kInner:
    case kBorrowedArg:
        Inner(client, task);
        return;
    default: {
        wr_error err = {};
        WR_FAIL(&err, WR_E_NOT_FOUND, "no test function %u", task->function);
        wr_task_fail(client, task, &err);
        return;
    }
    }
}

inline int Loop(wr_client *client) {
    wr_task task;
    for (;;) {
        switch (wr_worker_next(client, 0, &task)) {
        case WR_NEXT_TASK:
            Run(client, &task);
            break;
        case WR_NEXT_NONE:
            wr_worker_idle(client, 20000);
            break;
        case WR_NEXT_ASSIGNMENT: {
            uint8_t *reply = nullptr;
            uint64_t bytes = 0;
            if (wr_client_call(client, "assignment", nullptr, 0, 0, &reply, &bytes, nullptr) != WR_OK) {
                return 4;
            }
            wr_bytes_free(reply);
            break;
        }
        case WR_NEXT_EXIT:
            return 0;
        case WR_NEXT_DEAD:
            return 4;
        }
    }
}

} // namespace worker_process

// A forked worker; killed and waited for at the end of its scope.
class WorkerProcess {
  public:
    explicit WorkerProcess(FakeRaylet &raylet, uint16_t actor_port = WR_PORT_NONE) : raylet_(raylet) {
        raylet.AssignNextWorkerTo(actor_port);
        Start();
    }
    ~WorkerProcess() {
        Kill();
    }

    void Start() {
        pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close_range(3, ~0u, 0); // the fake raylet's sockets, above all
            wr_client_opts opts = {};
            opts.kind = WR_CLIENT_WORKER;
            opts.socket_path = raylet_.socket_path.c_str();
            opts.token = FakeRaylet::kToken;
            wr_client *client = nullptr;
            wr_error err = {};
            if (wr_client_open(&opts, &client, &err) != WR_OK) {
                fprintf(stderr, "worker: %s\n", err.text);
                _exit(2);
            }
            const int code = worker_process::Loop(client);
            wr_client_close(client);
            _exit(code);
        }
        while (raylet_.SlotOf(pid) == 0) {
            sched_yield();
        }
    }

    void Kill() {
        if (pid > 0) {
            kill(pid, SIGKILL);
            Wait();
        }
    }

    // Waits for its end; its exit status, or -signal.
    int Wait() {
        int status = 0;
        waitpid(pid, &status, 0);
        pid = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

    pid_t pid = -1;

  private:
    FakeRaylet &raylet_;
};
