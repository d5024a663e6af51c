// A driver of a FakeRaylet, with short names for what tests do all the time.
#pragma once

#include "tests/unit/worker/worker_process.h"

class Driver {
  public:
    explicit Driver(FakeRaylet &raylet, uint64_t spin_ns = 0)
        : client_(raylet.Connect(WR_CLIENT_DRIVER, spin_ns)) {
        OpenPort(raylet.class_port, &port, &ring);
    }

    wr_client *get() const {
        return client_.get();
    }
    void Close() {
        client_.reset();
    }

    void OpenPort(uint16_t number, uint32_t *out_port, uint32_t *out_ring) {
        wr_record_writer w = {};
        const uint8_t *request = nullptr;
        uint32_t request_bytes = 0;
        wr_record_begin(&w);
        wr_record_int(&w, "port", number);
        EXPECT_EQ(WR_OK, wr_record_finish(&w, &request, &request_bytes, nullptr));
        uint8_t *reply = nullptr;
        uint64_t bytes = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_client_call(get(), "port_open", request, request_bytes, 0, &reply, &bytes, &err))
            << err.text;
        const wr_record r = {reply, (uint32_t)bytes};
        *out_port = number;
        *out_ring = (uint32_t)wr_record_get_int(&r, "ring", 0);
        wr_bytes_free(reply);
        wr_record_done(&w);
    }

    wr_call Call(uint32_t function, const void *args = nullptr, uint64_t bytes = 0) const {
        wr_call call = {};
        call.port = port;
        call.ring = ring;
        call.function = function;
        call.args.stream = (const uint8_t *)args;
        call.args.stream_bytes = bytes;
        return call;
    }

    wr_ref Submit(const wr_call &call) {
        wr_ref ref = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_submit(get(), &call, &ref, &err)) << err.text;
        return ref;
    }

    wr_ref Put(const void *bytes, uint64_t count) {
        wr_value value = {};
        value.stream = (const uint8_t *)bytes;
        value.stream_bytes = count;
        wr_ref ref = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_put(get(), &value, &ref, &err)) << err.text;
        return ref;
    }
    wr_ref Put(int64_t number) {
        return Put(&number, sizeof number);
    }

    // Waits at most 20 s.
    wr_status Wait(wr_ref ref) {
        wr_status status = WR_E_INTERRUPTED;
        for (int i = 0; i < 200 && status == WR_E_INTERRUPTED; i++) {
            status = wr_wait(get(), ref, UINT64_MAX);
            wr_flush(get());
        }
        return status;
    }

    // The stream of the sealed object; "<STATUS>" of an error.
    std::string Get(wr_ref ref) {
        const wr_status status = Wait(ref);
        if (status != WR_OK) {
            return std::string("<wait ") + wr_status_name(status) + ">";
        }
        wr_view view;
        wr_error err = {};
        if (wr_view_get(get(), ref, &view, &err) != WR_OK) {
            return std::string("<view ") + err.text + ">";
        }
        if (view.kind == WR_KIND_SYSTEM_ERROR) {
            wr_view_error(&view, &err);
            return std::string("<") + wr_status_name(err.status) + ">";
        }
        return std::string((const char *)view.stream, view.stream_bytes);
    }

    int64_t Number(wr_ref ref) {
        const std::string bytes = Get(ref);
        int64_t number = INT64_MIN;
        EXPECT_EQ(sizeof number, bytes.size()) << bytes;
        if (bytes.size() == sizeof number) {
            memcpy(&number, bytes.data(), sizeof number);
        }
        return number;
    }

    void Unref(wr_ref ref) {
        wr_unref(get(), ref);
    }

    uint32_t port = 0, ring = 0;

  private:
    std::unique_ptr<wr_client, void (*)(wr_client *)> client_;
};
