/* Options of subcommands, and what was probably meant. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 64 };

static uint32_t distance(const char *a, const char *b) {
    uint32_t row[NAME_BYTES], n = (uint32_t)strlen(b);
    if (n >= NAME_BYTES || strlen(a) >= NAME_BYTES) {
        return UINT32_MAX;
    }
    for (uint32_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (uint32_t i = 1; a[i - 1] != 0; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= n; j++) {
            uint32_t change = diagonal + (a[i - 1] != b[j - 1]),
                     best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *word, const char *const *names) {
    const char *nearest = NULL;
    uint32_t best = (uint32_t)strlen(word) / 2 + 2;
    for (; *names != NULL; names++) {
        uint32_t d = distance(word, *names);
        bool begins = strlen(word) >= 3 && strncmp(word, *names, strlen(word)) == 0;
        d = begins ? 1 : d;
        if (d < best) {
            best = d;
            nearest = *names;
        }
    }
    return nearest;
}

static int find(const cli_option *table, const char *name, size_t n) {
    char plain[NAME_BYTES];
    if (n >= sizeof plain) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        plain[i] = name[i] == '_' ? '-' : name[i];
    }
    plain[n] = 0;
    for (int i = 0; table[i].name != NULL; i++) {
        if (strcmp(table[i].name, plain) == 0) {
            return i;
        }
    }
    return -1;
}

static wr_status unknown(const cli_option *table, const char *word, size_t n, wr_error *err) {
    const char *names[48] = {0};
    char text[NAME_BYTES];
    for (int i = 0; table[i].name != NULL; i++) {
        names[i] = table[i].name;
    }
    snprintf(text, sizeof text, "%.*s", (int)n, word);
    wr_status status = WR_FAIL(err, WR_E_INVALID, "there is no option --%s", text);
    const char *nearest = cli_nearest(text, names);
    if (nearest != NULL) {
        wr_error_hint(err, "did you mean --%s?", nearest);
    }
    return status;
}

wr_status cli_parse(const cli_option *table, int argc, char **argv, cli_values *out, wr_error *err) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        int at = -1;
        if (strncmp(word, "--", 2) == 0 && word[2] != 0) {
            size_t n = strcspn(word + 2, "=");
            at = find(table, word + 2, n);
            if (at < 0) {
                return unknown(table, word + 2, n, err);
            }
            value = word[2 + n] == '=' ? word + 3 + n : NULL;
        } else if (word[0] == '-' && word[1] != 0 && word[2] == 0) {
            for (int k = 0; table[k].name != NULL && at < 0; k++) {
                at = table[k].letter == word[1] ? k : -1;
            }
            if (at < 0) {
                return WR_FAIL(err, WR_E_INVALID, "there is no option %s", word);
            }
        } else {
            return WR_FAIL(err, WR_E_INVALID, "'%s' is not an option", word);
        }
        if (table[at].argument && value == NULL) {
            if (i + 1 >= argc) {
                return WR_FAIL(err, WR_E_INVALID, "--%s needs a value", table[at].name);
            }
            value = argv[++i];
        }
        if (!table[at].argument && value != NULL && strcmp(value, "true") != 0) {
            return WR_FAIL(err, WR_E_INVALID, "--%s takes no value", table[at].name);
        }
        out->of[at] = table[at].argument ? value : "";
    }
    return WR_OK;
}

const char *cli_value(const cli_option *table, const cli_values *values, const char *name) {
    int at = find(table, name, strlen(name));
    WR_ASSERT(at >= 0);
    return values->of[at];
}

void cli_help(const char *head, const cli_option *table) {
    printf("%s\n", head);
    for (int i = 0; table[i].name != NULL; i++) {
        bool unused = table[i].help[0] == '!';
        char letter[8] = "";
        if (table[i].letter != 0) {
            snprintf(letter, sizeof letter, "-%c, ", table[i].letter);
        }
        printf("  %s--%s%s\n      %s%s\n", letter, table[i].name, table[i].argument ? " VALUE" : "",
               table[i].help + unused, unused ? " (accepted; not built yet)" : "");
    }
}

wr_status cli_number(const char *option, const char *text, double least, double most, double *out,
                     wr_error *err) {
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    if (end == text || *end != 0 || errno != 0 || !(*out >= least && *out <= most)) {
        return WR_FAIL(err, WR_E_INVALID, "--%s: '%s' is no number from %g to %g", option, text, least, most);
    }
    return WR_OK;
}

wr_status cli_resources(const char *json, char *out, size_t size, wr_error *err) {
    const char *p = json;
    size_t used = 0;
    out[0] = 0;
    p += strspn(p, " \t\r\n");
    if (*p++ != '{') {
        return WR_FAIL(err, WR_E_INVALID, "--resources: '%s' is not JSON like {\"name\": 1}", json);
    }
    for (p += strspn(p, " \t\r\n"); *p != '}'; p += strspn(p, " \t\r\n")) {
        const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
        if (end == NULL) {
            return WR_FAIL(err, WR_E_INVALID, "--resources: '%s': a name in double quotes is missing", json);
        }
        const char *name = p + 1;
        size_t n = (size_t)(end - name);
        p = end + 1 + strspn(end + 1, " \t\r\n");
        if (*p++ != ':') {
            return WR_FAIL(err, WR_E_INVALID, "--resources: '%s': ':' is missing after '%.*s'", json, (int)n,
                           name);
        }
        char *number_end;
        double amount = strtod(p, &number_end);
        if (number_end == p || !(amount >= 0 && amount <= 1e15) || memchr(name, ',', n) != NULL ||
            memchr(name, '=', n) != NULL) {
            return WR_FAIL(
                err, WR_E_INVALID,
                "--resources: '%.*s' needs an amount of at least 0, and a name without ',' and '='", (int)n,
                name);
        }
        int m = snprintf(out + used, size - used, "%s%.*s=%.4f", used > 0 ? "," : "", (int)n, name, amount);
        if (m < 0 || (size_t)m >= size - used) {
            return WR_FAIL(err, WR_E_INVALID, "--resources: too long");
        }
        used += (size_t)m;
        p = number_end + strspn(number_end, " \t\r\n");
        if (*p == ',') {
            p++;
        } else if (*p != '}') {
            return WR_FAIL(err, WR_E_INVALID, "--resources: '%s': ',' or '}' is missing", json);
        }
    }
    if (p[1 + strspn(p + 1, " \t\r\n")] != 0) {
        return WR_FAIL(err, WR_E_INVALID, "--resources: '%s': there is more behind the '}'", json);
    }
    return WR_OK;
}

/* One line, without its end, behind the labels in out. */
static wr_status read_label(char *line, const char *name, char *out, size_t size, wr_error *err) {
    char *key = line + strspn(line, " \t\"'{"), *colon = strchr(key, ':');
    if (key[0] == '#' || key[0] == '}' || key[0] == 0) {
        return WR_OK;
    }
    if (colon == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "--labels-file %s: a line without ':'", name);
    }
    char *value = colon + 1 + strspn(colon + 1, " \t\"'");
    size_t key_n = strcspn(key, " \t\"':"), value_n = strcspn(value, "\"',}");
    const char *rest = value + value_n;
    if (rest[strspn(rest, "\"', \t}")] != 0) {
        return WR_FAIL(err, WR_E_INVALID, "--labels-file %s: more than one label in the line of '%.*s'", name,
                       (int)key_n, key);
    }
    while (value_n > 0 && (value[value_n - 1] == ' ' || value[value_n - 1] == '\t')) {
        value_n--;
    }
    size_t used = strlen(out);
    int n = snprintf(out + used, size - used, "%s%.*s=%.*s", used > 0 ? "," : "", (int)key_n, key,
                     (int)value_n, value);
    if (n < 0 || (size_t)n >= size - used) {
        out[used] = 0;
        return WR_FAIL(err, WR_E_INVALID, "--labels-file %s: too long", name);
    }
    return WR_OK;
}

wr_status cli_labels(FILE *file, const char *name, char *out, size_t size, wr_error *err) {
    char line[512];
    while (fgets(line, sizeof line, file) != NULL) {
        size_t n = strlen(line);
        if ((n == 0 || line[n - 1] != '\n') && !feof(file)) {
            return WR_FAIL(err, WR_E_INVALID,
                           "--labels-file %s: a line is longer than %zu bytes, or holds a zero byte", name,
                           sizeof line - 2);
        }
        line[strcspn(line, "\r\n")] = 0;
        WR_TRY(read_label(line, name, out, size, err));
    }
    return WR_OK;
}

int cli_complain(const wr_error *err) {
    fprintf(stderr, "whipray: %s\n", err->text);
    if (err->hint[0] != 0) {
        fprintf(stderr, "         %s\n", err->hint);
    }
    return 1;
}
