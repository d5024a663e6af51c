/* rl/env/nearest.h: which of the known names a user may have meant. */
#pragma once

#include <stddef.h>

/* The name with the smallest edit distance (letter case aside); NULL if there is none. Lends names[i]. Looks
 * at the first 63 bytes. */
const char *wr_nearest(const char *name, const char *const *names, size_t count);
