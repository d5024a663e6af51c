// What the core worker costs in C, through whipray.h: a driver, one worker process, and the tests' raylet.
//
//   core_c_bench [--tiny]
//
// One JSON object a line: metric, median over the rounds, unit, n per round, min, max. The floor (memcpy) is
// measured in the same run. Every result is checked.
#include <algorithm>
#include <cinttypes>
#include <ctime>

#include "tests/unit/worker/driver.h"

namespace {

bool tiny = false;

uint64_t Now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void Die(const char *what) {
    fprintf(stderr, "core_c_bench: %s\n", what);
    exit(1);
}

void Check(bool right, const char *what) {
    if (!right) {
        Die(what);
    }
}

// One value a round.
void Report(const char *metric, std::vector<double> rounds, const char *unit, uint64_t n) {
    std::sort(rounds.begin(), rounds.end());
    printf("{\"metric\": \"core_c.%s\", \"value\": %.5g, \"unit\": \"%s\", \"n\": %" PRIu64
           ", \"min\": %.5g, \"max\": %.5g, \"rounds\": %zu}\n",
           metric, rounds[rounds.size() / 2], unit, n, rounds.front(), rounds.back(), rounds.size());
    fflush(stdout);
}

template <typename F> void Measure(const char *metric, uint64_t n, F round) {
    std::vector<double> ns;
    for (int r = 0; r < (tiny ? 2 : 9); r++) {
        const uint64_t begin = Now();
        round(n);
        ns.push_back((double)(Now() - begin) / (double)n);
    }
    Report(metric, ns, "ns", n);
}

void Puts(Driver &driver) {
    const uint64_t n = tiny ? 200 : 100000;
    wr_client *client = driver.get();
    uint8_t bytes[1024] = {1};
    for (uint64_t size : {8u, 1024u}) {
        wr_value value = {};
        value.stream = bytes;
        value.stream_bytes = size;
        Measure(size == 8 ? "put_unref_8b" : "put_unref_1kb", n, [&](uint64_t count) {
            for (uint64_t i = 0; i < count; i++) {
                wr_ref ref = 0;
                Check(wr_put(client, &value, &ref, nullptr) == WR_OK, "put");
                wr_unref(client, ref);
            }
        });
    }
    const wr_ref ref = driver.Put(42);
    uint64_t sum = 0;
    Measure("peek", n, [&](uint64_t count) {
        for (uint64_t i = 0; i < count; i++) {
            sum += wr_peek(client, ref);
        }
    });
    Measure("wait_ready", n, [&](uint64_t count) {
        for (uint64_t i = 0; i < count; i++) {
            sum += wr_wait(client, ref, UINT64_MAX);
        }
    });
    Measure("view_get_8b", n, [&](uint64_t count) {
        for (uint64_t i = 0; i < count; i++) {
            wr_view view;
            Check(wr_view_get(client, ref, &view, nullptr) == WR_OK, "view");
            sum += view.stream[0];
        }
    });
    Check(sum == (uint64_t)(tiny ? 2 : 9) * n * (WR_KIND_VALUE + 42u), "sum");
    driver.Unref(ref);
}

void PutLarge(Driver &driver) {
    const uint64_t bytes = tiny ? 1u << 20 : 100000000u;
    std::vector<uint8_t> from(bytes, 7), to(bytes, 1);
    const wr_buffer buffer = {from.data(), bytes};
    wr_value value = {};
    value.buffers = &buffer;
    value.buffer_count = 1;
    std::vector<double> puts, copies, gets;
    for (int r = 0; r < (tiny ? 2 : 9) + 1; r++) {
        uint64_t begin = Now();
        memcpy(to.data(), from.data(), bytes);
        copies.push_back((double)bytes / (double)(Now() - begin));
        begin = Now();
        wr_ref ref = 0;
        Check(wr_put(driver.get(), &value, &ref, nullptr) == WR_OK, "put of a large buffer");
        puts.push_back((double)bytes / (double)(Now() - begin));
        begin = Now();
        wr_view view;
        const uint8_t *data = nullptr;
        uint64_t found = 0;
        Check(wr_view_get(driver.get(), ref, &view, nullptr) == WR_OK &&
                  wr_view_buffer(&view, 0, &data, &found),
              "large view");
        gets.push_back((double)(Now() - begin));
        Check(found == bytes && memcmp(data, from.data(), bytes) == 0, "large bytes");
        wr_unref(driver.get(), ref);
    }
    puts.erase(puts.begin()); // the first one faults the pages in
    copies.erase(copies.begin());
    Report("put_large_warm", puts, "GB/s", bytes);
    Report("floor.memcpy_warm", copies, "GB/s", bytes);
    Report("get_large", gets, "ns", bytes);
}

void Submits(FakeRaylet &raylet, Driver &driver) {
    const uint64_t n = tiny ? 100 : 10000;
    wr_client *client = driver.get();
    std::vector<wr_ref> refs(n);
    const std::string kilobyte(1024, 'k');
    const wr_ref argument = driver.Put(1);
    struct Shape {
        const char *name;
        wr_call call;
    };
    wr_call with_ref = driver.Call(kSum);
    with_ref.refs = &argument;
    with_ref.ref_count = 1;
    const int64_t number = 5;
    const Shape shapes[] = {{"noop", driver.Call(kNothing)},
                            {"8b", driver.Call(kEcho, &number, sizeof number)},
                            {"1kb", driver.Call(kEcho, kilobyte.data(), kilobyte.size())},
                            {"ref", with_ref}};
    for (const Shape &shape : shapes) { // nobody takes: what the submitter alone pays
        std::vector<double> alone, cancels;
        for (int r = 0; r < (tiny ? 2 : 9); r++) {
            uint64_t begin = Now();
            for (wr_ref &ref : refs) {
                Check(wr_submit(client, &shape.call, &ref, nullptr) == WR_OK, "submit");
            }
            alone.push_back((double)(Now() - begin) / (double)n);
            begin = Now();
            for (wr_ref &ref : refs) {
                Check(wr_cancel(client, ref, nullptr, nullptr) == WR_OK, "cancel");
            }
            cancels.push_back((double)(Now() - begin) / (double)n);
            for (wr_ref &ref : refs) {
                Check(wr_peek(client, ref) == WR_KIND_SYSTEM_ERROR, "cancelled");
                wr_unref(client, ref);
            }
            wr_flush(client);
        }
        Report((std::string("submit_alone_") + shape.name).c_str(), alone, "ns", n);
        Report((std::string("cancel_") + shape.name).c_str(), cancels, "ns", n);
    }
    {
        WorkerProcess worker(raylet);
        for (const Shape &shape : shapes) {
            std::vector<double> submit, total;
            for (int r = 0; r < (tiny ? 2 : 9); r++) {
                const uint64_t begin = Now();
                for (wr_ref &ref : refs) {
                    Check(wr_submit(client, &shape.call, &ref, nullptr) == WR_OK, "submit");
                }
                submit.push_back((double)(Now() - begin) / (double)n);
                for (wr_ref &ref : refs) {
                    Check(driver.Wait(ref) == WR_OK, "wait");
                    Check(wr_peek(client, ref) == WR_KIND_VALUE, "kind");
                }
                total.push_back((double)n / (double)(Now() - begin) * 1e9);
                for (wr_ref &ref : refs) {
                    wr_unref(client, ref);
                }
                wr_flush(client);
            }
            Report((std::string("submit_") + shape.name).c_str(), submit, "ns", n);
            Report((std::string("tasks_") + shape.name).c_str(), total, "1/s", n);
        }
        std::vector<double> trips;
        for (uint64_t i = 0; i < (tiny ? 50u : 20000u); i++) {
            const uint64_t begin = Now();
            wr_ref ref = 0;
            Check(wr_submit(client, &shapes[1].call, &ref, nullptr) == WR_OK && driver.Wait(ref) == WR_OK,
                  "round trip");
            trips.push_back((double)(Now() - begin));
            Check(driver.Number(ref) == 5, "value");
            wr_unref(client, ref);
        }
        std::sort(trips.begin(), trips.end());
        Report("round_trip", trips, "ns", trips.size());
        Report("round_trip_p99", {trips[trips.size() * 99 / 100]}, "ns", trips.size());
    }
    driver.Unref(argument);
}

void Streams(FakeRaylet &raylet, Driver &driver) {
    WorkerProcess worker(raylet);
    const uint64_t n = tiny ? 200 : 100000;
    for (uint32_t window : {16u, 64u, 256u}) {
        std::vector<double> rates;
        for (int r = 0; r < (tiny ? 2 : 5); r++) {
            wr_call call = driver.Call(kGenerate, &n, sizeof n);
            call.flags = WR_CALL_STREAM;
            call.stream_window = window;
            const uint64_t begin = Now();
            const wr_ref generator = driver.Submit(call);
            wr_stream *stream = nullptr;
            Check(wr_stream_open(driver.get(), generator, &stream, nullptr) == WR_OK, "stream");
            uint64_t items = 0, index = 0;
            for (;;) {
                wr_ref item = 0;
                const wr_status status = wr_stream_next(stream, &item, &index);
                if (status == WR_OK) {
                    wr_view view;
                    uint64_t value = 0;
                    Check(wr_view_get(driver.get(), item, &view, nullptr) == WR_OK, "item");
                    memcpy(&value, view.stream, sizeof value);
                    Check(value == items++, "order");
                    wr_unref(driver.get(), item);
                } else if (status == WR_E_AGAIN) {
                    wr_stream_wait(stream, UINT64_MAX);
                } else {
                    break;
                }
            }
            Check(items == n, "items");
            rates.push_back((double)n / (double)(Now() - begin) * 1e9);
            wr_stream_close(stream);
            driver.Unref(generator);
        }
        Report(("stream_items_" + std::to_string(window)).c_str(), rates, "1/s", n);
    }
}

void WaitMany(Driver &driver) {
    const uint32_t n = tiny ? 100 : 10000;
    std::vector<wr_ref> refs;
    for (uint32_t i = 0; i < n; i++) {
        refs.push_back(driver.Put((int64_t)i));
    }
    std::vector<double> all;
    for (int r = 0; r < (tiny ? 2 : 9); r++) {
        uint32_t ready = 0;
        const uint64_t begin = Now();
        Check(wr_wait_many(driver.get(), refs.data(), n, n, UINT64_MAX, &ready) == WR_OK && ready == n,
              "wait many");
        all.push_back((double)(Now() - begin));
    }
    Report("wait_many_ready", all, "ns", n);
    wr_value value = {};
    value.refs = refs.data();
    value.ref_count = n;
    std::vector<double> puts;
    for (int r = 0; r < (tiny ? 2 : 9); r++) {
        const uint64_t begin = Now();
        wr_ref container = 0;
        Check(wr_put(driver.get(), &value, &container, nullptr) == WR_OK, "container");
        puts.push_back((double)(Now() - begin));
        driver.Unref(container);
    }
    Report("put_of_refs", puts, "ns", n);
    for (wr_ref ref : refs) {
        driver.Unref(ref);
    }
}

} // namespace

int main(int argc, char **argv) {
    tiny = argc > 1 && strcmp(argv[1], "--tiny") == 0;
    if (argc > (tiny ? 2 : 1)) {
        Die("usage: core_c_bench [--tiny]");
    }
    FakeRayletOptions options;
    options.heap_bytes = 1ull << 30;
    FakeRaylet raylet(options);
    Driver driver(raylet);
    Puts(driver);
    PutLarge(driver);
    WaitMany(driver);
    Submits(raylet, driver);
    Streams(raylet, driver);
    return 0;
}
