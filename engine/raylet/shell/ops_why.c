/* What errors tell: what an object that is not there waits for; who holds the store. */
#include "raylet/shell/shell.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_S 1e9

static void resources_text(wr_shell *sh, const wr_res *res, char *out, size_t size) {
    uint32_t bytes;
    if (wr_res_format(wr_raylet_core_names(sh->core), res, out, (uint32_t)size, &bytes, NULL) != WR_OK) {
        out[0] = 0;
    }
}

static void running_text(wr_shell *sh, const wr_cell_call *call, uint64_t handle, char *out, size_t size) {
    for (uint32_t i = 0; i < sh->worker_capacity; i++) {
        const shell_worker *w = sh->workers[i];
        wr_core_worker_info info;
        if (w == NULL || w->slot != call->slot || !wr_raylet_core_worker_info(sh->core, i, &info)) {
            continue;
        }
        char since[48] = "";
        if (w->running == handle && w->running_since != 0) {
            snprintf(since, sizeof since, " for at least %.1f s",
                     (double)(wr_clock_ns() - w->running_since) / NS_PER_S);
        }
        wr_slot_info slot;
        wr_keeper_slot_info(sh->keeper, call->slot, &slot);
        snprintf(out, size, "runs in pid %d%s%s", info.pid, since,
                 slot.activity == WR_BLOCKED ? ", and waits in get() or wait() itself" : "");
        return;
    }
    snprintf(out, size, "is about to end");
}

static void queued_text(wr_shell *sh, uint16_t port, char *out, size_t size) {
    uint32_t cursor = 0;
    wr_core_class_info c;
    char need[512], why[512];
    while (wr_raylet_core_class_info(sh->core, &cursor, &c)) {
        if (c.port != port) {
            continue;
        }
        resources_text(sh, &c.cls->resources, need, sizeof need);
        const bool feasible = wr_raylet_core_class_feasible(sh->core, c.cls, why, sizeof why);
        snprintf(out, size, "is queued and needs {%s}: %s%s", need, feasible ? "" : "no node can run it: ",
                 !feasible ? why
                 : c.waits ? c.why
                           : "other tasks are before it");
        return;
    }
    snprintf(out, size, "is queued");
}

void shell_actor_why(wr_shell *sh, const wr_core_actor_info *a, char *out, size_t size) {
    char why[512];
    const bool feasible = wr_raylet_core_class_feasible(sh->core, &a->spec->cls, why, sizeof why);
    const char *text = !feasible                         ? why
                       : a->text[0] != 0                 ? a->text
                       : a->worker != WR_CORE_NONE       ? "its process starts, or its constructor runs"
                       : !a->room                        ? "its resources are in use"
                       : a->state == WR_ACTOR_STARTING   ? "a process for it is not free yet"
                       : wr_raylet_core_online(sh->core) ? "it is being placed"
                                                         : "the GCS is away";
    snprintf(out, size, "%s%s", feasible ? "" : "no node can hold it: ", text);
}

static void actor_text(wr_shell *sh, const wr_core_actor_info *a, char *out, size_t size) {
    if (a->state == WR_ACTOR_ALIVE) {
        snprintf(out, size, "is queued: the actor (pid %d) runs other calls", a->pid);
        return;
    }
    char need[512], why[600];
    const wr_res *res = a->spec->cls.resources.count > 0 ? &a->spec->cls.resources : &a->spec->cls.place;
    resources_text(sh, res, need, sizeof need);
    shell_actor_why(sh, a, why, sizeof why);
    snprintf(out, size, "is queued: the actor is %s and needs {%s}: %s", wr_actor_state_text(a->state), need,
             why);
}

static wr_status why(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)conn, (void)request;
    uint64_t handle;
    WR_TRY(shell_want_handle(body, "handle", &handle, err));
    wr_cell_call call;
    if (!wr_cell_look(sh->pool, handle, &call)) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no such object");
    }
    char text[WR_ERROR_TEXT_MAX] = "is done";
    wr_core_actor_info a;
    const bool of_actor =
        call.port < WR_PORT_JOIN &&
        wr_raylet_core_actor_info(sh->core, wr_raylet_core_actor_of_port(sh->core, call.port), &a);
    if (call.state == WR_CELL_RUNNING) {
        running_text(sh, &call, handle, text, sizeof text);
    } else if (call.state == WR_CELL_WAITING) {
        snprintf(text, sizeof text, "waits for its arguments");
    } else if (call.state == WR_CELL_READY && of_actor) {
        actor_text(sh, &a, text, sizeof text);
    } else if (call.state == WR_CELL_READY && call.port < WR_PORT_JOIN) {
        queued_text(sh, call.port, text, sizeof text);
    } else if (call.state == WR_CELL_READY) {
        snprintf(text, sizeof text, "waits for a placement group that is not reserved yet");
    }
    wr_record_string(&sh->w, "text", text);
    wr_record_int(&sh->w, "function", call.function);
    if (of_actor) {
        wr_record_bytes(&sh->w, "actor_id", a.spec->id.bytes, WR_ACTOR_ID_BYTES);
        wr_record_string(&sh->w, "class_name", a.spec->class_name);
    } else if (call.function >= 1 && call.function <= sh->function_count &&
               sh->functions[call.function - 1].name != NULL) {
        wr_record_string(&sh->w, "name", sh->functions[call.function - 1].name);
    }
    return WR_OK;
}

/* Who holds the heap: processes that have some of it, and what the dead left. */
static wr_status holders(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                         wr_error *err) {
    (void)conn, (void)request, (void)body, (void)err;
    wr_keeper_stats stats;
    wr_keeper_stats_of(sh->keeper, &stats);
    wr_record_int(&sh->w, "of_the_dead", (int64_t)stats.heap_orphaned);
    wr_record_list_begin(&sh->w, "holders");
    for (const shell_conn *c = sh->conns; c != NULL; c = c->next) {
        wr_slot_info slot;
        if (c->slot == 0) {
            continue;
        }
        wr_keeper_slot_info(sh->keeper, c->slot, &slot);
        if (slot.heap_bytes_held == 0) {
            continue;
        }
        wr_core_worker_info info;
        wr_core_actor_info actor;
        const bool of_actor = c->kind == 2 && wr_raylet_core_worker_info(sh->core, c->worker, &info) &&
                              wr_raylet_core_actor_info(sh->core, info.actor, &actor);
        wr_record_map_begin(&sh->w, NULL);
        wr_record_int(&sh->w, "pid", c->pid);
        wr_record_string(&sh->w, "what",
                         of_actor       ? actor.spec->class_name
                         : c->kind == 1 ? "driver"
                                        : "worker");
        wr_record_int(&sh->w, "bytes", (int64_t)slot.heap_bytes_held);
        wr_record_map_end(&sh->w);
    }
    wr_record_list_end(&sh->w);
    return WR_OK;
}

const shell_op shell_ops_why[] = {{"why", why, true}, {"holders", holders, true}, {NULL, NULL, false}};
