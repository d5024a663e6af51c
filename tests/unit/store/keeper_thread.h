// A pool with its keeper in a thread: what tests above engine/shm need in place of a raylet.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "shm/keeper.h"

class KeeperThread {
  public:
    explicit KeeperThread(uint64_t heap_bytes = 256u << 20) {
        wr_pool_geometry geometry = {};
        geometry.slots = 32;
        geometry.ports = 64;
        geometry.rings = 256;
        geometry.ring_capacity = 16384;
        geometry.cell_extents = 1024;
        geometry.heap_bytes = heap_bytes;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_pool_create(&geometry, &pool, &err)) << err.text;
        EXPECT_EQ(WR_OK, wr_keeper_new(pool, &keeper, &err)) << err.text;
        thread_ = std::thread([this] { Serve(); });
    }

    ~KeeperThread() {
        Stop();
        wr_keeper_free(keeper);
        wr_pool_close(pool);
    }

    // From here on nothing is granted and nothing is freed.
    void Stop() {
        if (thread_.joinable()) {
            stop_ = true;
            wr_pool_bell_ring(pool);
            thread_.join();
        }
    }

    // A slot of this process, attached.
    wr_proc *Attach() {
        uint32_t slot = 0, epoch = 0;
        wr_error err = {};
        {
            std::lock_guard<std::mutex> hold(lock);
            EXPECT_EQ(WR_OK, wr_keeper_slot_open(keeper, 1, &slot, &epoch, &err)) << err.text;
        }
        wr_proc *proc = nullptr;
        EXPECT_EQ(WR_OK, wr_proc_attach(pool, slot, epoch, &proc, &err)) << err.text;
        return proc;
    }

    wr_pool *pool = nullptr;
    wr_keeper *keeper = nullptr;
    std::mutex lock; // around all that uses the keeper

  private:
    void Serve() {
        while (!stop_) {
            const uint32_t seen = wr_pool_bell_read(pool);
            bool more = false;
            {
                std::lock_guard<std::mutex> hold(lock);
                more = wr_keeper_pass(keeper);
                wr_keeper_event event;
                while (wr_keeper_next(keeper, &event)) {
                }
            }
            wr_pool_bell_wait(pool, seen, more ? 300000 : 2000000);
        }
    }

    std::atomic<bool> stop_{false};
    std::thread thread_;
};
