/* engine/worker/c_functions.h: C functions between the registry and the worker's loop. */
#pragma once

#include "whipray/whipray.h"

WR_BEGIN_DECLS

enum { WR_C_NAME_MAX = 200 };

/* The function registered under a name in this process, or NULL. Any thread. */
wr_c_function wr_c_find(const char *name);
/* [books] Runs a claimed task to its seal, its failure, or its retry. false: the claim was taken away. */
bool wr_c_execute(wr_client *client, wr_task *task, wr_c_function function);

WR_END_DECLS
