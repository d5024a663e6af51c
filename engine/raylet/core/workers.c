/* Workers: spawn, assignment, blocked, idle, death (N2, N4). */
#include "raylet/core/state.h"

#include <stdio.h>
#include <string.h>

#define END_PATIENCE_NS (5ull * 1000 * 1000 * 1000) /* a worker that was told to end is killed after */

core_worker *core_worker_of(const wr_raylet_core *core, uint32_t index) {
    return index < core->worker_count ? core->workers[index] : NULL;
}

core_pool *core_pool_of(wr_raylet_core *core, uint32_t job, uint64_t env_hash, wr_language language) {
    for (uint32_t i = 0; i < core->pool_count; i++) {
        core_pool *p = &core->pools[i];
        if (p->job == job && p->env_hash == env_hash && p->language == language) {
            return p;
        }
    }
    void *pools = core->pools;
    core_reserve(&pools, &core->pool_capacity, core->pool_count + 1, sizeof *core->pools);
    core->pools = pools;
    core->pools[core->pool_count] = (core_pool){.job = job, .env_hash = env_hash, .language = language};
    return &core->pools[core->pool_count++];
}

static core_pool *pool_of(wr_raylet_core *core, const core_worker *w) {
    return core_pool_of(core, w->job, w->env_hash, w->language);
}

core_worker *core_worker_idle(const wr_raylet_core *core, const wr_class *cls) {
    for (uint32_t i = 0; i < core->worker_count; i++) {
        core_worker *w = core->workers[i];
        if (w != NULL && w->state == WR_CW_IDLE && !w->bound && w->job == cls->job &&
            w->env_hash == cls->env_hash && w->language == cls->language) {
            return w;
        }
    }
    return NULL;
}

core_worker *core_spawn(wr_raylet_core *core, wr_time_ns now, const wr_class *cls, uint32_t threads) {
    core_job *job = core_job_of(core, cls->job);
    if (core->live_workers >= WR_CORE_WORKERS_MAX || job == NULL) {
        return NULL;
    }
    uint32_t at = 0;
    while (at < core->worker_count && core->workers[at] != NULL) {
        at++;
    }
    void *workers = core->workers;
    core_reserve(&workers, &core->worker_capacity, at + 1, sizeof *core->workers);
    core->workers = workers;
    core_worker *w = core_alloc(sizeof *w);
    *w = (core_worker){.index = at,
                       .job = cls->job,
                       .env_hash = cls->env_hash,
                       .language = cls->language,
                       .state = WR_CW_STARTING,
                       .threads = threads,
                       .idle_since = now,
                       .start_by = now + core->start_ns};
    core->workers[at] = w;
    core->worker_count = at == core->worker_count ? at + 1 : core->worker_count;
    core->live_workers++;
    job->workers++;
    core_pool_of(core, cls->job, cls->env_hash, cls->language)->starting++;
    core_cmd(core, WR_CMD_SPAWN)->worker = at;
    return w;
}

void core_prestart(wr_raylet_core *core, wr_time_ns now, const core_job *job) {
    wr_class cls = {.job = job->number, .language = job->language, .env_hash = job->env_hash};
    for (uint32_t i = 0; i < core->prestart; i++) {
        (void)core_spawn(core, now, &cls, 1);
    }
}

/* ---- Assignment words ---- */

static void write_word(wr_raylet_core *core, core_worker *w, uint32_t port, uint32_t flags) {
    if (w->slot == 0) {
        return; /* not here yet: it asks when it comes */
    }
    w->seq = (w->seq + 1) & WR_ASSIGN_COUNT_MASK;
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_ASSIGN);
    cmd->slot = w->slot;
    cmd->word = w->word = port | w->seq << WR_ASSIGN_COUNT_SHIFT | flags;
}

static void write_state(wr_raylet_core *core, core_worker *w) {
    if (w->state == WR_CW_CLASS) {
        write_word(core, w, w->recalling ? WR_PORT_NONE : w->cls->port, 0);
    } else if (w->state == WR_CW_ACTOR) {
        write_word(core, w, w->actor->spec.port, WR_ASSIGN_ACTOR);
    } else {
        write_word(core, w, WR_PORT_NONE, w->state == WR_CW_ENDING ? WR_ASSIGN_EXIT : 0);
    }
}

void core_assign_class(wr_raylet_core *core, wr_time_ns now, core_worker *w, core_class *c,
                       core_taken *taken) {
    WR_ASSERT(w->cls == NULL && w->actor == NULL && !w->taken.any);
    w->taken = *taken;
    memset(taken, 0, sizeof *taken);
    w->cls = c;
    c->workers++;
    w->assigned = w->charged = now;
    w->idle = w->recalling = w->blocked = false;
    w->fresh = true;
    w->reserved = 0;
    if (w->state == WR_CW_STARTING) {
        w->bound = w->taken.share.devices != 0; /* its environment names the devices */
        return;
    }
    w->state = WR_CW_CLASS;
    write_state(core, w);
}

void core_assign_actor(wr_raylet_core *core, wr_time_ns now, core_worker *w, core_actor *a) {
    WR_ASSERT(w->cls == NULL && w->actor == NULL && !w->taken.any);
    w->actor = a;
    a->worker = w;
    w->taken = a->taken;
    memset(&a->taken, 0, sizeof a->taken);
    w->assigned = now;
    w->idle = w->recalling = w->blocked = false;
    if (w->state == WR_CW_STARTING) {
        w->bound = w->taken.share.devices != 0;
        return;
    }
    w->state = WR_CW_ACTOR;
    write_state(core, w);
}

void core_worker_recall(wr_raylet_core *core, core_worker *w) {
    WR_ASSERT(w->state == WR_CW_CLASS);
    if (!w->recalling) {
        w->recalling = true;
        write_state(core, w);
    }
}

/* The worker is between two tasks: what it held is free. */
static void release_class(wr_raylet_core *core, wr_time_ns now, core_worker *w) {
    core_class *c = w->cls;
    if (w->blocked) {
        w->blocked = false;
        c->blocked--;
        core_lend(core, &w->taken, true);
    }
    wr_fair_served(core->fair, c->cls.job, c->index + 1ull, now - w->charged + 1);
    c->workers--;
    w->cls = NULL;
    w->recalling = false;
    core_give(core, &w->taken);
}

void core_worker_end(wr_raylet_core *core, wr_time_ns now, core_worker *w, wr_time_ns patience) {
    if (w->state == WR_CW_ENDING) {
        return;
    }
    if (w->state == WR_CW_STARTING) {
        core_worker_stop(core, w, WR_E_CANCELLED, "it was not needed any more");
        return;
    }
    w->state = WR_CW_ENDING;
    w->kill_at = now + patience;
    write_state(core, w);
}

static void give_up(wr_raylet_core *core, core_worker *w, wr_status status) {
    if (w->state == WR_CW_STARTING) {
        core_pool *pool = pool_of(core, w);
        pool->starting -= pool->starting > 0;
    }
    w->killed = true;
    w->state = WR_CW_ENDING;
    w->kill_status = status;
}

void core_worker_stop(wr_raylet_core *core, core_worker *w, wr_status status, const char *text) {
    if (w->killed) {
        return;
    }
    give_up(core, w, status);
    wr_free(w->kill_text);
    w->kill_text = core_text(text);
    core_cmd(core, WR_CMD_KILL)->worker = w->index;
}

/* Nobody waits for ever for a process that does not come, be it wanted still or not: whoever should have made it
 * hangs. What becomes of it is a failure to start, whose text is the shell's. */
static void start_is_over(wr_raylet_core *core, core_worker *w) {
    w->start_by = 0;
    if (!w->killed) {
        w->late = true;
        give_up(core, w, WR_E_ENV_SETUP);
    }
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_KILL);
    cmd->worker = w->index;
    cmd->flag = true;
}

void wr_raylet_core_worker_kill(wr_raylet_core *core, uint32_t worker, wr_status status, const char *text) {
    core_worker *w = core_worker_of(core, worker);
    if (w != NULL) {
        core_worker_stop(core, w, status, text);
    }
}

/* ---- Facts ---- */

void wr_raylet_core_worker_fact(wr_raylet_core *core, wr_time_ns now, uint32_t worker,
                                const wr_slot_info *info) {
    core_worker *w = core_worker_of(core, worker);
    if (w == NULL || w->state != WR_CW_CLASS || !info->live) {
        return;
    }
    bool blocked = info->activity == WR_BLOCKED;
    if (blocked != w->blocked) {
        w->blocked = blocked;
        w->cls->blocked += blocked ? 1 : 0;
        w->cls->blocked -= blocked ? 0 : 1;
        core_lend(core, &w->taken, !blocked);
        core_takers(core, w->cls);
    }
    bool idle = info->activity == WR_IDLE && info->lanes_running == 0;
    if (idle && !w->idle) {
        w->idle_since = now;
        core->sync_dirty = true;
    }
    if (!idle && w->idle) {
        core->sync_dirty = true;
    }
    w->idle = idle;
    w->reserved = info->reserved;
    w->fresh = w->fresh && idle;
    if (!idle && now > w->charged) {
        wr_fair_served(core->fair, w->cls->cls.job, w->cls->index + 1ull, now - w->charged);
    }
    w->charged = now;
}

void wr_raylet_core_worker_hello(wr_raylet_core *core, wr_time_ns now, uint32_t worker, uint32_t slot,
                                 int pid) {
    core_worker *w = core_worker_of(core, worker);
    WR_ASSERT(w != NULL);
    w->slot = slot;
    w->pid = pid;
    w->idle_since = now;
    w->start_by = 0;
    if (w->state == WR_CW_STARTING) {
        core_pool *pool = pool_of(core, w);
        pool->starting -= pool->starting > 0;
        pool->failures = 0;
        w->state = w->cls != NULL ? WR_CW_CLASS : w->actor != NULL ? WR_CW_ACTOR : WR_CW_IDLE;
    }
    write_state(core, w);
    core_schedule(core, now);
}

void wr_raylet_core_assignment(wr_raylet_core *core, wr_time_ns now, uint32_t worker,
                               wr_core_assignment *out) {
    core_worker *w = core_worker_of(core, worker);
    WR_ASSERT(w != NULL);
    if (w->state == WR_CW_CLASS && w->recalling) {
        if (w->bound) { /* N4: its devices stay taken until its process, and what it allocated on them, is gone */
            w->recalling = false;
            core_worker_end(core, now, w, END_PATIENCE_NS);
        } else {
            release_class(core, now, w);
            w->state = WR_CW_IDLE;
            w->idle_since = now;
            core_schedule(core, now);
        }
    }
    memset(out, 0, sizeof *out);
    out->word = w->word;
    out->port = WR_PORT_NONE;
    out->actor = WR_CORE_NONE;
    out->resources = &w->taken.what;
    out->gpus = w->taken.share;
    out->bundle = -1;
    const wr_class *cls = NULL;
    if (w->state == WR_CW_CLASS) {
        out->kind = WR_ASSIGNED_CLASS;
        out->port = w->cls->port;
        cls = &w->cls->cls;
    } else if (w->state == WR_CW_ACTOR) {
        out->kind = WR_ASSIGNED_ACTOR;
        out->port = w->actor->spec.port;
        out->actor = w->actor->index;
        cls = &w->actor->spec.cls;
    } else {
        out->kind = w->state == WR_CW_ENDING ? WR_ASSIGNED_EXIT : WR_ASSIGNED_NONE;
    }
    if (cls != NULL && w->taken.bundle != NULL) {
        out->pg = w->taken.bundle->pg;
        out->bundle = (int32_t)w->taken.bundle->index;
        out->capture = cls->strategy.capture;
    }
}

void wr_raylet_core_worker_bye(wr_raylet_core *core, uint32_t worker, bool intended, const char *reason) {
    core_worker *w = core_worker_of(core, worker);
    if (w == NULL) {
        return;
    }
    w->intended = intended;
    if (reason != NULL && reason[0] != 0 && w->kill_text == NULL) {
        w->kill_text = core_text(reason);
    }
}

/* ---- Death ---- */

static void slot_dead(wr_raylet_core *core, const core_worker *w, const char *text, bool restarts) {
    if (w->slot == 0) {
        return;
    }
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_SLOT_DEAD);
    cmd->slot = w->slot;
    cmd->worker = w->index;
    cmd->status = w->killed ? w->kill_status : w->actor != NULL ? WR_E_ACTOR_DIED : WR_E_WORKER_DIED;
    if (w->actor != NULL && cmd->status == WR_E_WORKER_DIED) {
        cmd->status = WR_E_ACTOR_DIED;
    }
    cmd->flag = restarts;
    cmd->job = w->job;
    bool left = w->actor != NULL && w->intended;
    const char *why = w->kill_text != NULL && (w->killed || left) ? w->kill_text
                      : left                                      ? "it left by exit_actor()"
                                                                  : text;
    char *shown = w->actor != NULL ? core_actor_text(w->actor, why) : NULL;
    core_cmd_text(cmd, shown != NULL ? shown : why);
    wr_free(shown);
}

/* A pool whose workers cannot be started must not keep its tasks waiting for ever. */
static void pool_failed(wr_raylet_core *core, const core_pool *pool, const char *text) {
    char why[WR_ERROR_TEXT_MAX];
    snprintf(why, sizeof why, "no worker could be started, %d times in a row; the last time: %s",
             WR_CORE_SPAWN_FAILURES_MAX, text);
    for (uint32_t i = 0; i < core->class_count; i++) {
        core_class *c = core->classes[i];
        if (c != NULL && c->cls.job == pool->job && c->cls.env_hash == pool->env_hash &&
            c->cls.language == pool->language) {
            core_class_fail(core, c, WR_E_ENV_SETUP, why, false);
        }
    }
}

static void worker_gone(wr_raylet_core *core, wr_time_ns now, core_worker *w, const char *text,
                        bool started) {
    core_pool *pool = pool_of(core, w);
    bool failed = (w->state == WR_CW_STARTING || w->late) && !started;
    if (w->state == WR_CW_STARTING) {
        pool->starting -= pool->starting > 0;
    }
    core_actor *a = w->actor;
    bool restarts = a != NULL && core_actor_restarts(a, w);
    if (restarts && w->slot != 0) {
        wr_core_cmd *cmd = core_cmd(core, WR_CMD_PORT_STATE);
        cmd->port = a->spec.port;
        cmd->word = WR_PORT_RESTARTING;
    }
    slot_dead(core, w, text, restarts);
    if (w->cls != NULL) {
        w->cls->ready =
            0; /* what it took is still counted: nobody comes for that before the facts are read again, soon */
        release_class(core, now, w);
    } else {
        core_give(core, &w->taken);
    }
    core_cmd(core, WR_CMD_FORGET)->worker = w->index;
    core->workers[w->index] = NULL;
    core->live_workers--;
    core_job *job = core_job_of(core, w->job);
    if (job != NULL) {
        job->workers--;
    }
    if (a != NULL) {
        a->worker = NULL;
        core_actor_worker_dead(core, now, a, w, w->kill_text != NULL ? w->kill_text : text);
    }
    if (failed && ++pool->failures >= WR_CORE_SPAWN_FAILURES_MAX) {
        pool->failures = 0;
        pool_failed(core, pool, text);
    }
    wr_free(w->kill_text);
    wr_free(w);
    if (job != NULL) {
        core_job_check_gone(core, job);
    }
    core_schedule(core, now);
}

void wr_raylet_core_worker_failed(wr_raylet_core *core, wr_time_ns now, uint32_t worker, const char *text) {
    core_worker *w = core_worker_of(core, worker);
    if (w != NULL) {
        worker_gone(core, now, w, text, false);
    }
}

void wr_raylet_core_worker_dead(wr_raylet_core *core, wr_time_ns now, uint32_t worker, const char *text) {
    core_worker *w = core_worker_of(core, worker);
    if (w != NULL) {
        worker_gone(core, now, w, text, w->slot != 0);
    }
}

/* ---- Time ---- */

/* Idle: unassigned, or assigned to a class without work. */
static bool idles(const core_worker *w) {
    return w->state == WR_CW_IDLE ||
           (w->state == WR_CW_CLASS && w->idle && !w->recalling && w->cls->queued == 0);
}

void core_workers_tick(wr_raylet_core *core, wr_time_ns now) {
    uint32_t idle = 0;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        core_worker *w = core->workers[i];
        if (w != NULL && w->kill_at != 0 && now >= w->kill_at && !w->killed) {
            core_worker_stop(core, w, w->kill_status != WR_OK ? w->kill_status : WR_E_WORKER_DIED,
                             "it did not end when it was told to");
        }
        if (w != NULL && w->start_by != 0 && now >= w->start_by) {
            start_is_over(core, w);
        }
        idle += w != NULL && idles(w);
    }
    for (uint32_t i = 0; i < core->worker_count && idle > core->num_cpus; i++) {
        core_worker *w = core->workers[i];
        if (w == NULL || !idles(w) || now - w->idle_since < WR_CORE_IDLE_END_NS) {
            continue;
        }
        idle--;
        if (w->state == WR_CW_CLASS) {
            core_worker_recall(
                core, w); /* it comes back idle, and ends a second later if it is still one too many */
        } else {
            core_worker_end(core, now, w, END_PATIENCE_NS);
        }
    }
}

bool wr_raylet_core_worker_info(const wr_raylet_core *core, uint32_t worker, wr_core_worker_info *out) {
    const core_worker *w = core_worker_of(core, worker);
    if (w == NULL) {
        return false;
    }
    *out = (wr_core_worker_info){.state = w->state,
                                 .slot = w->slot,
                                 .job = w->job,
                                 .pid = w->pid,
                                 .env_hash = w->env_hash,
                                 .language = w->language,
                                 .blocked = w->blocked,
                                 .idle = w->idle,
                                 .gpus = w->taken.share,
                                 .threads = w->threads,
                                 .actor = w->actor != NULL ? w->actor->index : WR_CORE_NONE,
                                 .port = w->cls != NULL ? w->cls->port : WR_PORT_NONE};
    return true;
}

bool wr_raylet_core_worker_next(const wr_raylet_core *core, uint32_t *cursor, uint32_t *out_worker) {
    while (*cursor < core->worker_count) {
        uint32_t at = (*cursor)++;
        if (core->workers[at] != NULL) {
            *out_worker = at;
            return true;
        }
    }
    return false;
}
