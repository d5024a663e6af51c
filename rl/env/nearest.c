#include "rl/env/nearest.h"

#include <ctype.h>
#include <string.h>

enum { COMPARED_MAX = 63 };

static unsigned edit_distance(const char *a, const char *b) {
    unsigned row[COMPARED_MAX + 1];
    size_t na = strnlen(a, COMPARED_MAX);
    size_t nb = strnlen(b, COMPARED_MAX);
    for (size_t j = 0; j <= nb; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned above = row[j];
            unsigned same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]) ? 0 : 1;
            unsigned best = diagonal + same;
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[nb];
}

const char *wr_nearest(const char *name, const char *const *names, size_t count) {
    const char *best = NULL;
    unsigned best_distance = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = edit_distance(name, names[i]);
        if (best == NULL || distance < best_distance) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}
