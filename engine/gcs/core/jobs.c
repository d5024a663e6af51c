/* Jobs: a driver and all that it made, but for what is detached. */
#include "gcs/core/core_priv.h"

gcs_job *gcs_job_find(const wr_gcs_core *core, uint32_t job) {
    uint64_t found;
    return wr_map_get(&core->job_index, job, &found) ? (gcs_job *)(uintptr_t)found : NULL;
}

wr_status gcs_job_check(const wr_gcs_core *core, uint32_t job) {
    if (job == 0) {
        return WR_OK; /* the cluster's own */
    }
    const gcs_job *known = gcs_job_find(core, job);
    if (known == NULL) {
        return job <= core->next_job ? WR_E_STATE : WR_E_INVALID;
    }
    return known->row->info.state == WR_JOB_RUNNING ? WR_OK : WR_E_STATE;
}

static void put_job(wr_gcs_core *core, uint32_t job, const wr_gcs_job_row *row /* NULL: remove */) {
    uint8_t key[4] = {(uint8_t)(job >> 24), (uint8_t)(job >> 16), (uint8_t)(job >> 8), (uint8_t)job};
    gcs_put(core, WR_GCS_JOB, key, sizeof key, row);
}

static gcs_job *add_job(wr_gcs_core *core, const wr_gcs_job_row *row) {
    void *jobs = core->jobs, *block = NULL;
    gcs_job *job = wr_calloc(1, sizeof *job);
    if (job == NULL || wr_array_reserve(&jobs, &core->job_capacity, core->job_count + 1, sizeof *core->jobs,
                                        NULL) != WR_OK) {
        wr_free(job);
        gcs_out_of_memory(core);
        return NULL;
    }
    core->jobs = jobs;
    if (wr_struct_dup(wr_gcs_table_desc(WR_GCS_JOB), row, 0, 0, &block, NULL) != WR_OK ||
        wr_map_set(&core->job_index, row->info.job, (uint64_t)(uintptr_t)job, NULL) != WR_OK) {
        wr_free(block);
        wr_free(job);
        gcs_out_of_memory(core);
        return NULL;
    }
    job->row = block;
    core->jobs[core->job_count++] = job;
    core->dead_jobs += row->info.state != WR_JOB_RUNNING;
    return job;
}

void gcs_job_free(gcs_job *job) {
    wr_free(job->row);
    wr_free(job->text);
    wr_free(job);
}

void gcs_on_job_start(wr_gcs_core *core, uint32_t from, const wr_msg_job_start *m) {
    wr_cluster_msg msg = {.type = WR_MSG_JOB_STARTED};
    msg.u.job_started.nonce = m->nonce;
    for (uint32_t i = core->job_count; i > 0; i--) { /* the newest first */
        if (memcmp(&core->jobs[i - 1]->row->nonce, &m->nonce, sizeof m->nonce) == 0) {
            msg.u.job_started.job = core->jobs[i - 1]->row->info.job;
            gcs_tell(core, from, &msg); /* G2: known, and perhaps not yet durable */
            return;
        }
    }
    wr_gcs_job_row row = {.nonce = m->nonce, .info = m->job};
    row.info.job = (uint32_t)++core->next_job;
    row.info.state = WR_JOB_RUNNING;
    row.info.node = from;
    row.info.start_us = core->wall_us;
    row.info.end_us = 0;
    if (add_job(core, &row) == NULL) {
        return;
    }
    gcs_put_meta(core, "next_job", core->next_job);
    put_job(core, row.info.job, &row);
    msg.u.job_started.job = row.info.job;
    gcs_tell(core, from, &msg);
}

static void prune(wr_gcs_core *core) {
    for (uint32_t i = 0; i < core->job_count && core->dead_jobs > WR_GCS_DEAD_JOBS_MAX; i++) {
        gcs_job *job = core->jobs[i];
        if (job->row->info.state != WR_JOB_RUNNING) {
            put_job(core, job->row->info.job, NULL);
            (void)wr_map_remove(&core->job_index, job->row->info.job, NULL);
            memmove(&core->jobs[i], &core->jobs[i + 1], (core->job_count - i - 1) * sizeof *core->jobs);
            core->job_count--;
            core->dead_jobs--;
            i--;
            gcs_job_free(job);
        }
    }
}

/* All that follows from a job's end, in the same transaction. */
static void clean_up(wr_gcs_core *core, uint32_t job) {
    gcs_actors_on_job_end(core, job);
    gcs_groups_on_job_end(core, job);
    wr_fair_forget_job(core->task_fair, job);
}

void gcs_job_end(wr_gcs_core *core, gcs_job *job, bool failed, wr_span text) {
    wr_job_info *info = &job->row->info;
    if (info->state != WR_JOB_RUNNING) {
        return;
    }
    info->state = failed ? WR_JOB_FAILED : WR_JOB_FINISHED;
    info->end_us = core->wall_us;
    job->text = gcs_text(core, text);
    info->text = wr_span_text(job->text);
    core->dead_jobs++;
    put_job(core, info->job, job->row);
    clean_up(core, info->job);
    wr_cluster_msg msg = {.type = WR_MSG_JOBDEAD};
    msg.u.job = (wr_msg_job){.job = info->job, .failed = failed, .text = info->text};
    for (uint32_t i = 0; i < core->node_count; i++) {
        gcs_tell(core, core->nodes[i]->row->info.inc, &msg);
    }
    prune(core);
}

void gcs_on_job_end(wr_gcs_core *core, uint32_t from, const wr_msg_job *m) {
    gcs_job *job = gcs_job_find(core, m->job);
    if (job != NULL) {
        gcs_job_end(core, job, m->failed, m->text);
    }
    wr_cluster_msg msg = {.type = WR_MSG_ACK};
    msg.u.ack = (wr_msg_ack){.of = WR_MSG_JOB_END, .job = m->job};
    gcs_tell(core, from, &msg);
}

void gcs_jobs_on_death(wr_gcs_core *core, uint32_t inc) {
    for (uint32_t i = core->job_count; i > 0; i--) { /* backwards: an end may prune older ones */
        if (i <= core->job_count && core->jobs[i - 1]->row->info.node == inc) {
            gcs_job_end(core, core->jobs[i - 1], true, wr_span_text("the node of its driver died"));
        }
    }
}

void gcs_jobs_tell_dead(wr_gcs_core *core, uint32_t inc) {
    wr_cluster_msg msg = {.type = WR_MSG_JOBDEAD};
    for (uint32_t i = 0; i < core->job_count; i++) {
        const wr_job_info *info = &core->jobs[i]->row->info;
        if (info->state != WR_JOB_RUNNING) {
            msg.u.job =
                (wr_msg_job){.job = info->job, .failed = info->state == WR_JOB_FAILED, .text = info->text};
            gcs_tell(core, inc, &msg);
        }
    }
}

wr_status gcs_job_load(wr_gcs_core *core, const wr_gcs_job_row *row, wr_error *err) {
    uint32_t job = row->info.job; /* the last number of all has no next one */
    if (row->info.state > WR_JOB_FAILED || job == 0 || job == UINT32_MAX || gcs_job_find(core, job) != NULL) {
        return WR_FAIL(err, WR_E_CORRUPT, "a stored job %u in state %u", row->info.job, row->info.state);
    }
    if (add_job(core, row) == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for the stored jobs");
    }
    core->next_job = core->next_job < row->info.job ? row->info.job : core->next_job;
    return WR_OK;
}

void gcs_jobs_start(wr_gcs_core *core) {
    /* What follows from ended jobs, the starts of actors and groups derive by themselves. */
    for (uint32_t i = core->job_count; i > 0; i--) {
        if (i <= core->job_count && !gcs_node_is_live(core, core->jobs[i - 1]->row->info.node)) {
            gcs_job_end(core, core->jobs[i - 1], true, wr_span_text("the node of its driver died"));
        }
    }
}
