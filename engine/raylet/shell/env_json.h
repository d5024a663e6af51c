/* engine/raylet/shell/env_json.h: the variables of a runtime environment's JSON text, {"env_vars": {"A": "b"}, ...}.
 *
 * The text comes from a driver: whatever it holds, nothing beyond its final zero is read and nothing beyond the
 * caller's buffers is written. What cannot be read ends the list. No allocation, no state.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

/* Where the first variable begins; NULL: json is NULL, or names none. The result borrows from json. */
const char *shell_env_json_begin(const char *json);
/* Reads the next variable and moves *at behind it; false: there is no further one. name and value have `size` bytes
 * each; strlen(json) + 8 is always enough, a longer text ends the list. */
bool shell_env_json_next(const char **at, char *name, char *value, size_t size);

WR_END_DECLS
