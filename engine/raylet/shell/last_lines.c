/* The lines are put together from the end of the buffer backwards, as their number is known only then. */
#include "raylet/shell/last_lines.h"

#include <string.h>

/* Lines that tell the reader of a log whose the next ones are. */
static bool is_mark(const char *line, size_t bytes) {
    static const char *const marks[] = {"::task_name:", "::actor_name:"};
    for (size_t k = 0; k < WR_COUNT_OF(marks); k++) {
        if (bytes >= strlen(marks[k]) && memcmp(line, marks[k], strlen(marks[k])) == 0) {
            return true;
        }
    }
    return false;
}

void shell_last_lines(const char *text, size_t n, char *out, size_t size) {
    WR_ASSERT(size > 0);
    size_t at = size - 1, end = n, lines = 0;
    out[at] = 0;
    while (end > 0 && text[end - 1] == '\n') {
        end--;
    }
    while (end > 0 && lines < SHELL_LAST_LINES) {
        const char *newline = memrchr(text, '\n', end);
        size_t start = newline != NULL ? (size_t)(newline - text) + 1 : 0;
        const size_t next = start > 0 ? start - 1 : 0;
        if (!is_mark(text + start, end - start)) {
            if (lines > 0 && (at == 0 || end - start > at - 1)) { /* also an empty line needs its newline */
                break;
            }
            const bool cut = end - start > at;
            if (cut) { /* the end of a long line; UTF-8 is not cut inside a character */
                for (start = end - at; start < end && ((uint8_t)text[start] & 0xc0) == 0x80; start++) {
                }
            }
            if (lines > 0) {
                out[--at] = '\n';
            }
            at -= end - start;
            memcpy(out + at, text + start, end - start);
            lines++;
            if (cut) { /* what is free is a piece of a character: nothing goes before it */
                break;
            }
        }
        end = next;
    }
    for (size_t k = at; k + 1 < size; k++) {
        out[k] = out[k] == 0 ? ' ' : out[k];
    }
    memmove(out, out + at, size - at);
}
