/* The variables of a runtime environment's JSON text. */
#include "raylet/shell/env_json.h"

#include <string.h>

/* Exactly four hexadecimal digits: fewer would lead past the end of the text. */
static bool hex4(const char *p, unsigned *out) {
    *out = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i], lower = c | 0x20;
        if (!(c >= '0' && c <= '9') && !(lower >= 'a' && lower <= 'f')) {
            return false;
        }
        *out = *out << 4 | (c <= '9' ? c - '0' : lower - 'a' + 10);
    }
    return true;
}

/* Reads the next JSON string at *at into out; false: there is none. Python's json wrote it with
 * ASCII escapes, so \u becomes UTF-8 here. */
static bool json_string(const char **at, char *out, size_t size) {
    const char *p = *at;
    if (*p != '"') {
        return false;
    }
    size_t n = 0;
    for (p++; *p != 0 && *p != '"'; p++) {
        unsigned code = (unsigned char)*p;
        if (*p == '\\') {
            p++;
            code = *p == 'n'   ? '\n'
                   : *p == 't' ? '\t'
                   : *p == 'r' ? '\r'
                   : *p == 'b' ? '\b'
                   : *p == 'f' ? '\f'
                               : (unsigned char)*p;
            if (*p == 'u') {
                if (!hex4(p + 1, &code)) {
                    return false;
                }
                p += 4;
                if (code >= 0xd800 && code < 0xdc00 && p[1] == '\\' && p[2] == 'u') {
                    unsigned low;
                    if (!hex4(p + 3, &low) || low < 0xdc00 || low > 0xdfff) {
                        return false;
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    p += 6;
                }
            } else if (*p == 0) {
                return false;
            }
        }
        if (n + 5 >= size) {
            return false;
        }
        if (code < 0x80 || (code < 0x100 && p[0] == (char)code)) {
            out[n++] = (char)code;
        } else if (code < 0x800) {
            out[n++] = (char)(0xc0 | code >> 6);
            out[n++] = (char)(0x80 | (code & 63));
        } else if (code < 0x10000) {
            out[n++] = (char)(0xe0 | code >> 12);
            out[n++] = (char)(0x80 | (code >> 6 & 63));
            out[n++] = (char)(0x80 | (code & 63));
        } else {
            out[n++] = (char)(0xf0 | code >> 18);
            out[n++] = (char)(0x80 | (code >> 12 & 63));
            out[n++] = (char)(0x80 | (code >> 6 & 63));
            out[n++] = (char)(0x80 | (code & 63));
        }
    }
    if (*p != '"') {
        return false;
    }
    out[n] = 0;
    *at = p + 1;
    return true;
}

static const char *skip(const char *p, const char *what) {
    return p + strspn(p, what);
}

const char *shell_env_json_begin(const char *json) {
    const char *at = json != NULL ? strstr(json, "\"env_vars\"") : NULL;
    if (at == NULL) {
        return NULL;
    }
    at = skip(at + sizeof "\"env_vars\"" - 1, " \t\r\n:");
    return *at == '{' ? skip(at + 1, " \t\r\n,") : NULL;
}

bool shell_env_json_next(const char **at, char *name, char *value, size_t size) {
    const char *p = *at;
    if (!json_string(&p, name, size)) {
        return false;
    }
    p = skip(p, " \t\r\n:");
    if (!json_string(&p, value, size)) {
        return false;
    }
    *at = skip(p, " \t\r\n,");
    return true;
}
