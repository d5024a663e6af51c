/* tests/kill/world.h: a small node in one process: a keeper, two drivers, two workers and an actor over one
 * pool.
 *
 * All parts but the victim act in the parent, one after the other; so what happens around a victim that
 * stands still is decided by the scenario and repeats exactly. What tasks do is fixed (kill_task), so every
 * result is known beforehand. All of it lies in the arena (arena.h): parent and victim see the same world.
 */
#pragma once

#include "shm/keeper.h"
#include "shm/layout.h"
#include "tests/kill/arena.h"

typedef enum kill_who {
    RAYLET,
    DRIVER,
    WORKER,
    PEER,  /* a second worker */
    RIVAL, /* a second driver */
    ACTOR,
    WHO_COUNT,
    NOBODY = WHO_COUNT,
} kill_who;

/* What a task does, and what its result is. */
typedef enum kill_task {
    TASK_TRIPLE,    /* inline argument u8 id: 3 * id + 1 */
    TASK_SUM,       /* references: 1 + the sum of their values */
    TASK_KEEP,      /* keeps its argument 0 beyond its end; VALUE_KEPT */
    TASK_FORGET,    /* drops what TASK_KEEP kept; VALUE_KEPT */
    TASK_NEST,      /* a handle of a fresh object of value VALUE_NESTED */
    TASK_HEAP,      /* inline argument u8 id: a block in the heap, value 3 * id + 1 */
    TASK_BLOCK,     /* arguments in a block (also references): as TASK_SUM */
    TASK_NEST_HEAP, /* as TASK_NEST, with the handle in the references of a block */
    TASK_ITEMS, /* a generator of as many items as its block's value says, 100 and up; its own value is their
                   number */
} kill_task;

enum {
    VALUE_KEPT = 7,
    VALUE_NESTED = 77,
    KIND_VALUE = 1,
    KIND_ERROR = 2,
    BLOCK_STREAM_BYTES = 300,
    HEAP_UNIT = 16384
};
enum { OUT_MAX = 96 };

/* A result that somebody waits for. */
typedef struct kill_out {
    wr_handle handle;
    uint32_t expect;
    bool nested;   /* its value is a handle */
    bool may_fail; /* an error will do as well */
} kill_out;

typedef struct kill_actor_seen {
    uint32_t epoch, id; /* of one caller: the newest call that was begun */
} kill_actor_seen;

typedef struct kill_world {
    wr_pool *pool;
    wr_keeper *keeper;
    wr_proc *proc[WHO_COUNT];
    bool alive[WHO_COUNT];
    uint32_t slot[WHO_COUNT], epoch[WHO_COUNT];
    uint16_t port, actor_port;
    bool actor_port_dead;

    kill_out out[WHO_COUNT][OUT_MAX];
    uint32_t out_count[WHO_COUNT];
    wr_handle kept[WHO_COUNT];
    uint32_t kept_value[WHO_COUNT];
    wr_claim busy[WHO_COUNT]; /* claimed, runs when its worker acts again; handle 0: none */
    uint32_t ran[256];        /* executions that count, by id of TASK_TRIPLE */
    kill_actor_seen seen[WHO_COUNT];

    /* What a set-up leaves for its operation. */
    wr_handle a, b;
    wr_handle many[OUT_MAX];
    uint64_t block, big_block;
    uint32_t block_count; /* offsets in `many` */
    wr_claim claim;

    bool raylet_stands; /* it is the victim: nobody makes passes */
    bool in_keeper;
    bool resubmit;             /* survivors submit anew while they act */
    uint32_t calls_anew;       /* then DRIVER calls the actor so often */
    uint32_t calls_generation; /* 0, or of the actor's port, which is dead: these calls fail or are refused */
    bool
        port_passes_on; /* before others act, the actor's port is closed and is another's; nobody calls that one */
    bool port_passed_on;
    wr_handle hand_on;   /* WORKER takes this over from PEER while the raylet stands still */
    wr_handle by_handle; /* a task that is queued nowhere: PEER claims it by its handle */
    bool uncounted;      /* the victim's executions do not count: it is going to die */
    bool failed;
    char why[512];
} kill_world;

extern kill_world *world; /* one; set by kill_world_open */

/* Makes the pool and all processes, anew. */
void kill_world_open(void);
/* Notes the first thing that is wrong. */
void kill_wrong(const char *fmt, ...) WR_PRINTF(1, 2);

/* ---- Acts of one process ---- */
wr_handle kill_put(kill_who who, uint32_t value);
wr_handle kill_put_heap(kill_who who, uint32_t value, const wr_handle *refs, uint32_t ref_count);
/* A block of this process with this value in its stream; room for links. */
uint64_t kill_block(kill_who who, uint32_t value, const wr_handle *refs, uint32_t ref_count,
                    uint32_t link_count, uint64_t window);
typedef struct kill_call {
    kill_task task;
    uint8_t id; /* TASK_TRIPLE, TASK_HEAP */
    bool to_actor, to_none;
    const wr_handle *refs;
    uint32_t ref_count;
    const wr_handle *nested; /* in a block's references */
    uint32_t nested_count;
    uint32_t expect; /* 0: follows from the id; of TASK_ITEMS: how many, 0: 2 */
    uint32_t
        generation; /* of the actor's port; 0: the present one. If the port has another: no call is made */
    bool in_block, forget /* the result is dropped at once, not waited for */, may_fail, no_retries;
    uint64_t window;
} kill_call;
wr_handle kill_submit(kill_who who, const kill_call *call);
wr_handle kill_submit_id(kill_who who, uint8_t id);
void kill_expect(kill_who who, kill_out out); /* a result to wait for that kill_submit did not make */
bool kill_take(kill_who who, wr_claim *out);
/* The number of its ring at a port; 0 for WR_PORT_NONE. */
uint32_t kill_ring_at(kill_who who, uint16_t port);
/* Drops what TASK_KEEP kept, and looks whether it is still what it was. */
void kill_forget_kept(kill_who who);
/* Runs a claimed task to its seal. */
void kill_run(kill_who who, const wr_claim *claim);
void kill_run_next(kill_who who);
void kill_collect(kill_who who);
void kill_poll(kill_who who);
/* Reads a value; false: an error, or nothing that can be read. */
bool kill_value(wr_handle handle, uint32_t *out);

/* ---- The raylet ---- */
void kill_pass(void);
void kill_attach(kill_who who);
void kill_reap(kill_who who);
/* A new incarnation of the actor: its process, then its first look at the calls. */
void kill_actor_attach(void);
void kill_actor_begin(void);
void kill_fail_actor_port(void);
wr_result kill_error_result(void);

/* ---- All ---- */
/* Everybody but the victim acts, `rounds` times in turn. */
void kill_others(uint32_t rounds, kill_who victim);
/* It lives, and is not the victim. */
bool kill_acts(kill_who who, kill_who victim);
/* What must hold once everything has come to rest; everybody but `gone` is there. */
void kill_check_rest(kill_who gone);
/* The first reason why the world is wrong, NULL if none. */
const char *kill_why(void);
