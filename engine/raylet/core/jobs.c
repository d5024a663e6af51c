/* Jobs: a driver's start and end (N6). */
#include "raylet/core/state.h"

#include <string.h>

core_job *core_job_of(const wr_raylet_core *core, uint32_t number) {
    for (uint32_t i = 0; i < core->job_count; i++) {
        if (core->jobs[i] != NULL && core->jobs[i]->number == number) {
            return core->jobs[i];
        }
    }
    return NULL;
}

wr_status wr_raylet_core_job_start(wr_raylet_core *core, wr_time_ns now, uint64_t ticket,
                                   const wr_nonce *nonce, const wr_job_info *info, wr_language language,
                                   uint64_t env_hash, uint32_t driver_slot, wr_error *err) {
    (void)now;
    if (core->over) {
        return WR_FAIL(err, WR_E_UNAVAILABLE, "this node ends");
    }
    core_job *job = core_alloc(sizeof *job);
    *job = (core_job){.language = language,
                      .driver_slot = driver_slot,
                      .live = true,
                      .env_hash = env_hash,
                      .ticket = ticket};
    uint32_t at = 0;
    while (at < core->job_count && core->jobs[at] != NULL) {
        at++;
    }
    void *jobs = core->jobs;
    core_reserve(&jobs, &core->job_capacity, at + 1, sizeof *core->jobs);
    core->jobs = jobs;
    core->jobs[at] = job;
    core->job_count = at == core->job_count ? at + 1 : core->job_count;
    wr_cluster_msg msg = {.type = WR_MSG_JOB_START};
    msg.u.job_start.nonce = *nonce;
    msg.u.job_start.job = *info;
    msg.u.job_start.job.node = core->inc;
    core_wish_add(core, &msg, 0, ticket, 0);
    return WR_OK;
}

static core_job *unnumbered(const wr_raylet_core *core, uint64_t ticket, uint32_t *out_at) {
    for (uint32_t i = 0; i < core->job_count; i++) {
        if (core->jobs[i] != NULL && core->jobs[i]->number == 0 && core->jobs[i]->ticket == ticket) {
            *out_at = i;
            return core->jobs[i];
        }
    }
    return NULL;
}

static void end_at_gcs(wr_raylet_core *core, uint32_t number, bool failed, const char *text) {
    wr_cluster_msg msg = {.type = WR_MSG_JOB_END};
    msg.u.job = (wr_msg_job){.job = number, .failed = failed, .text = wr_span_text(text)};
    core_wish_add(core, &msg, 0, 0, 0);
}

void core_job_started(wr_raylet_core *core, wr_time_ns now, const wr_msg_job_started *msg) {
    uint64_t ticket;
    core_job_start_forget(core, 0, &msg->nonce, &ticket);
    if (ticket == 0) {
        if (core_job_of(core, msg->job) == NULL) { /* its driver went while it waited */
            end_at_gcs(core, msg->job, true, "the driver ended before its job began");
        }
        return;
    }
    uint32_t at;
    core_job *job = unnumbered(core, ticket, &at);
    WR_ASSERT(job != NULL);
    job->number = msg->job;
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_JOB_STARTED);
    cmd->ticket = ticket;
    cmd->job = msg->job;
    core_prestart(core, now, job);
}

void wr_raylet_core_job_abandon(wr_raylet_core *core, uint64_t ticket) {
    uint64_t found;
    uint32_t at;
    core_job_start_forget(core, ticket, NULL, &found);
    core_job *job = unnumbered(core, ticket, &at);
    if (job != NULL) {
        core->jobs[at] = NULL;
        wr_free(job);
    }
}

static bool has_detached(const wr_raylet_core *core, uint32_t number) {
    for (uint32_t i = 0; i < core->actor_count; i++) {
        const core_actor *a = core->actors[i];
        if (a != NULL && a->spec.cls.job == number && a->spec.detached && a->state != WR_ACTOR_DEAD) {
            return true;
        }
    }
    return false;
}

void wr_raylet_core_job_end(wr_raylet_core *core, wr_time_ns now, uint32_t number, bool failed,
                            const char *text) {
    core_job *job = core_job_of(core, number);
    if (job == NULL || !job->live) {
        return;
    }
    job->live = false;
    end_at_gcs(core, number, failed, text);
    if (job->driver_slot != 0) {
        wr_core_cmd *cmd = core_cmd(core, WR_CMD_SLOT_DEAD);
        cmd->slot = job->driver_slot;
        cmd->worker = WR_CORE_NONE;
        cmd->job = number;
        cmd->status = WR_E_OWNER_DIED;
        core_cmd_text(cmd, text);
    }
    static const char why[] = "its job has ended";
    for (uint32_t i = 0; i < core->worker_count; i++) {
        core_worker *w = core->workers[i];
        if (w == NULL || w->job != number || (w->actor != NULL && w->actor->spec.detached)) {
            continue;
        }
        if (w->actor != NULL) {
            w->actor->no_restart = true;
        }
        core_worker_stop(core, w, WR_E_CANCELLED, why);
    }
    for (uint32_t i = 0; i < core->actor_count; i++) {
        core_actor *a = core->actors[i];
        if (a != NULL && a->spec.cls.job == number && !a->spec.detached && a->worker == NULL) {
            a->no_restart = true;
            core_actor_end(core, a, WR_E_ACTOR_DIED, why, true);
        }
    }
    for (uint32_t i = 0; i < core->class_count && !has_detached(core, number); i++) {
        if (core->classes[i] != NULL && core->classes[i]->cls.job == number) {
            core_class_fail(core, core->classes[i], WR_E_OWNER_DIED, why, true);
        }
    }
    for (uint32_t i = 0; i < core->group_count; i++) {
        core_group *g = core->groups[i];
        if (g != NULL && g->job == number && !g->detached && g->state != WR_PG_REMOVED) {
            wr_raylet_core_group_remove(core, now, &g->id);
        }
    }
    core_job_check_gone(core, job);
    core_schedule(core, now);
}

void core_job_check_gone(wr_raylet_core *core, core_job *job) {
    if (job->live || job->workers > 0) {
        return;
    }
    uint32_t number = job->number;
    if (has_detached(core, number)) { /* one between two lives */
        return;
    }
    for (uint32_t i = 0; i < core->class_count; i++) {
        if (core->classes[i] != NULL && core->classes[i]->cls.job == number) {
            core_class_close(core, core->classes[i]);
        }
    }
    wr_fair_forget_job(core->fair, number);
    for (uint32_t i = 0; i < core->group_count; i++) {
        core_group *g = core->groups[i];
        if (g != NULL && g->job == number && g->state == WR_PG_REMOVED) {
            core_group_forget(core, g);
        }
    }
    for (uint32_t i = 0; i < core->pool_count; i++) {
        if (core->pools[i].job == number) {
            core->pools[i--] = core->pools[--core->pool_count];
        }
    }
    for (uint32_t i = 0; i < core->job_count; i++) {
        if (core->jobs[i] == job) {
            core->jobs[i] = NULL;
        }
    }
    wr_free(job);
    core_cmd(core, WR_CMD_JOB_GONE)->job = number;
}
