/* engine/local/protocol.h: what passes over the Unix socket between a process and its raylet.
 *
 * Frame, little endian: u32 length of what follows (at most 1 MiB + 16), u16 type, u16 version (1), u64 request id,
 * then a packed record (whipray/record.h). Types: 1 request (field "op"), 2 reply, 3 error reply (fields "status" i,
 * "text" s, "hint" s). Request id 0: one way, no reply. Only the client asks; the raylet only answers (some answers
 * wait: "long"). A malformed frame ends the connection with an error reply that names what was wrong. Before "hello"
 * no other op is taken. Peer credentials must be this user's; the token is compared in constant time.
 *
 * Variables of a process ("env") are a list of "NAME=VALUE" as bytes: a name may be longer than a field's, and neither
 * need be UTF-8. A name comes once.
 *
 * Handles are 'i' (u64 cast). Resources are maps name -> 'd'. "?" marks an optional field.
 *
 * OP               REQUEST -> REPLY
 * hello            kind i (1 driver, 2 worker, 3 tool, 4 fork server), protocol i, layout i, token s, pid i, cookie?
 *                  b (worker: from its SPAWN), job? m (driver): {namespace s, python s, cwd s, sys_path l of s,
 *                  import_path? s ("A:B": where the fork server finds whipray), env l of b,
 *                  runtime_env s (JSON or ""), entrypoint s, language s ("python"|"c"), libraries? l of s,
 *                  alias i (1: `ray` is this job's name of whipray), log_to_driver i, driver_script s}
 *               -> slot i, epoch i, job i, node_id b12.., worker_id b28, cluster_id i, incarnation i, session_dir s,
 *                  namespace s, gcs_address s, node_ip s, raylet_pid i, token_ok i; with the pool's descriptor
 *                  (SCM_RIGHTS) unless kind is 3 or 4; worker: also job_config m (the driver's job map), env_hash i
 * bye              {intended i, reason? s} one way; then the client closes. A worker's bye with intended 1 is not a
 *                  failure.
 * class_open       resources m, strategy? m {kind s "DEFAULT"|"SPREAD"|"NODE_AFFINITY"|"PLACEMENT_GROUP", node_id? b,
 *                  soft? i, pg? b, bundle? i, capture? i}, runtime_env? s, labels? m, language? s, name? s
 *               -> port i, ring i, generation i (of the port, which is used again later: wr_call.generation), feasible i,
 *                  reason s (why it can never run here, as things stand) Fails: INVALID
 *                  (names the field), NOT_FOUND (placement group), UNSCHEDULABLE (hard affinity to a dead node)
 * port_open        port i, actor? i (handle: checks that they belong together) -> ring i, generation i, state i
 *                  (wr_port_state), cause i
 * function_export  digest b, ref i (a put cell with the pickled function or class, SHARED by the caller), name s,
 *                  meta b
 *               -> function i (the same digest in the same job: the same number). The raylet holds ref.
 * function_get     function i -> ref i, name s, meta b
 * actor_create     handle i (the actor's handle object: a put cell, SHARED), ctor i (parked task, SHARED), function i
 *                  (class), class_name s, name? s, namespace? s, lifetime? s ("detached"), get_if_exists? i,
 *                  resources m (held for life), placement_resources m (to be placed), strategy? m, runtime_env? s,
 *                  max_restarts i, max_task_retries i, max_concurrency i, groups? b, asyncio i, meta? b (opaque: what
 *                  get_actor hands out to rebuild a handle)
 *               -> port i, ring i, generation i, actor_id b16, existed i (get_if_exists: then handle i, meta b are the present
 *                  actor's) Fails: EXISTS (name), INVALID, UNAVAILABLE (named, while the GCS is away)
 * actor_find       name s, namespace? s -> handle i, port i, ring i, generation i, function i, meta b, actor_id b
 *                  Fails: NOT_FOUND (nearest name)
 * actor_state      port i -> state i, pid i, restarts i, cause i, text s, class_name s, name s, actor_id b, node_id
 *                  b, ready i
 * actor_kill       port i, handle i, no_restart i -> nothing
 * actor_list       all_namespaces i -> actors l of m {name s, namespace s}
 * assignment       (worker) -> kind s "none"|"class"|"actor"|"exit", word i (what it answers: wr_worker_assigned);
 *                  class: port i, ring i; actor: port i, handle i, ctor i, function i, actor_id b, name s,
 *                  namespace s, class_name s, max_concurrency i, groups b, asyncio i, restarts i, resources m, ring i,
 *                  max_task_retries i; both: generation i, resources m, gpu_ids l of s, pg? b, bundle? i, capture? i
 * actor_ready      (worker) ok i, text? s (of the constructor's error) -> nothing
 * cancel           handle i, force i, recursive i -> asked i (0: it does not run)   Fails: INVALID (force, and it is
 *                  an actor's call)
 * cancels          (worker, after SIGINT) -> tasks l of m {handle i, recursive i}: what it is to cancel, each once
 * why              handle i -> text s (what an object that is not there waits for, to follow its name), function i
 *                  (number, or method), name? s (of the function), actor_id? b, class_name? s (of a call)
 *                  Fails: NOT_FOUND (no such object)
 * holders          -> holders l of m {pid i, what s (driver, worker or an actor's class), bytes i (of the heap)},
 *                  of_the_dead i (bytes)
 * pg_create        bundles l of m, strategy s, name? s, lifetime? s -> pg b, ready i (a handle: sealed when all is
 *                  reserved; the raylet's object, counted for the caller)
 * pg_remove        pg b -> nothing      pg_get name s -> pg b, ready i      pg_table pg? b -> groups l of m
 * pg_wait          pg b -> ready i (a handle again, for processes that got the group from elsewhere)
 * kv_put           ns b, key b, value b, overwrite i -> added i       kv_get ns b, key b -> value b|n     kv_del ns
 *                  b, key b -> removed i
 * kv_exists        ns b, key b -> exists i                             kv_list ns b, prefix b -> keys l of b
 * nodes            -> nodes l of m {node_id b, alive i, address s, hostname s, resources m, labels m, name s, head i,
 *                  ...}
 * resources        -> total m, available m
 * jobs             -> jobs l of m        actors -> actors l of m {actor_id b, class_name s, state s, job i, name s,
 *                  namespace s, pid i, restarts i, ...}
 * workers          -> workers l of m {pid i, slot i, job i, state s, ...}
 * status           -> m: everything `whipray status` prints: nodes, resources, pool figures, processes, pending l of
 *                  m {resources m, queued i, why s}
 * counters         -> slots l of m {pid i, kind s, tasks_submitted i, tasks_executed i, calls_submitted i,
 *                  calls_executed i, objects_put i, bytes_put i, objects_sealed i, bytes_sealed i}: live processes
 *                  and the sum of the dead (pid 0) of the caller's job
 * log_poll         (tool, long: at most 1 s) job i, cursor i -> cursor i, lines l of m {pid i, name s (actor or task
 *                  name), ip s, err i, text s}
 * task_events      on i (1: processes write events from now on, 0: no more; the default is off), cursor? b (of the last
 *                  answer; absent: from the oldest that is kept) -> events l of m {pid i, handle i, function i, state s
 *                  "SUBMITTED"|"RUNNING"|"FINISHED"|"FAILED", time_ns i (wall clock)}, cursor b, lost i (events since
 *                  the cursor that were overwritten unread: a process keeps its last 1024). In order within a process;
 *                  at most half a MiB at a time: ask until events is empty. Any number of readers, each with its
 *                  cursor; also of processes that have ended, until their slot's next one has written over them.
 *                  Fails: INVALID (cursor)
 * fork_next        (fork server, long) ready? i -> spawn l of m {cookie b, env l of b, unset l of s, cwd s, stdout s,
 *                  stderr s, worker_id s (hex), niceness i}
 * fork_done        (fork server, one way, with the child's pidfd) cookie b, pid i      fork_failed one way cookie b,
 *                  text s
 * fork_exited      (fork server, one way) pid i, status i (as waitpid gives it)
 * shutdown         (tool or the owner) grace_ms i -> nothing: the cluster ends
 *
 * Raylet program: whipray-raylet --head --session-dir DIR --token-file F [--num-cpus N] [--num-gpus N] [--resources
 *                  k=v,k=v] [--labels k=v,...] [--object-store-memory BYTES] [--memory BYTES] [--node-ip IP]
 *                  [--node-name S] [--owner-fd FD] [--ready-fd FD] [--gcs-port PORT] [--config name=value]...
 *                  [--bin-dir DIR] [--log-file F] owner-fd: a pipe; its end of file ends the cluster. ready-fd: gets
 *                  "OK\n" or "ERROR text\n" once.
 * Fork server: PYTHON -m whipray._private.fork_server --socket PATH --token-file F  (env: that of its workers' runtime
 *                  environment, and WHIPRAY_FORK_KEY, which names its interpreter)
 * C worker: whipray-worker --socket PATH --token-file F --cookie HEX
 * Session folder (0700): sockets/raylet, sockets/gcs, logs/, gcs.sqlite, session.json;
 *                  /tmp/whipray-UID/{session_*,session_latest,current}.
 */
#pragma once

#include "base/base.h"

enum {
    WR_PROTOCOL_VERSION = 1,
    WR_FRAME_HEADER_BYTES = 16,
    WR_FRAME_REQUEST = 1,
    WR_FRAME_REPLY = 2,
    WR_FRAME_ERROR = 3
};

/* Words of a slot's assignment (wr_keeper_assign): low 16 bits the port; above that a counter which changes at every
 * new assignment, and these. A worker that sees a newer word than the last answer's calls op "assignment". */
#define WR_ASSIGN_EXIT 0x80000000u
#define WR_ASSIGN_ACTOR 0x40000000u
#define WR_ASSIGN_COUNT_SHIFT 16
#define WR_ASSIGN_COUNT_MASK 0x3fffu
