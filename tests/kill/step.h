/* tests/kill/step.h: running one operation in a process of its own, instruction by instruction.
 *
 * kill_step_open forks; the child stops before the operation, and again after it. It inherits what the parent
 * maps (the pool, too: its mapping must have been marked as inherited). kill_step_split makes a second
 * process that stands at the very same instruction, so that a whole operation is stepped once and yet dies at
 * every one of its instructions. Where that is not built (other machines than x86-64), the caller opens a new
 * one and steps it again.
 */
#pragma once

#include "base/base.h"

#include <sys/types.h>

typedef enum kill_step { KILL_STEP_MORE, KILL_STEP_END, KILL_STEP_BROKEN } kill_step;

/* op(arg) runs in the child. The result stands at its first instruction. */
pid_t kill_step_open(void (*op)(void *arg), void *arg);
/* One instruction. BROKEN: the process was stopped by a signal of its own (*out_signal), an abort for
 * example. */
kill_step kill_step_once(pid_t pid, int *out_signal);
/* A copy of a stopped process, stopped at the same instruction; 0 where that is not built. */
pid_t kill_step_split(pid_t pid);
/* Lets it run to the end of its operation; calls idle(arg) again and again meanwhile. */
kill_step kill_step_finish(pid_t pid, void (*idle)(void *arg), void *arg, int *out_signal);
/* Lets it run until asleep() is true and the kernel says that it sleeps; END: it did not fall asleep. */
kill_step kill_step_to_sleep(pid_t pid, bool (*asleep)(void), int *out_signal);
/* Waits for the end of its operation. */
kill_step kill_step_to_end(pid_t pid, int *out_signal);
/* SIGKILL, and waits for the exit. */
void kill_step_kill(pid_t pid);
/* True in a process made by kill_step_open. */
bool kill_step_is_victim(void);
