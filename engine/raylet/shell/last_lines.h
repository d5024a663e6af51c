/* engine/raylet/shell/last_lines.h: what a dead process wrote last, for the error that its callers get.
 *
 * The text is what a user's program printed: whatever it holds, nothing outside the caller's buffer is written.
 * No allocation, no state.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

enum { SHELL_LAST_LINES = 10 }; /* an error shows so many of them at most */

/* Writes the last lines of text[0 .. n) to out, with a zero behind them; size > 0. As many whole lines as fit; of a last
 * line that alone is too long its end, which begins with a whole character of UTF-8. Left out are the newlines at the
 * text's end and the lines by which a worker names what it runs; zero bytes become spaces. O(n). */
void shell_last_lines(const char *text, size_t n, char *out, size_t size);

WR_END_DECLS
