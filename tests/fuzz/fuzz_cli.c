/* What a user's shell and files say to `whipray start`: options, --resources, numbers, the labels file. The first byte
 * says which. */
#include "cli/cli.h"
#include "sched/resources.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const cli_option table[] = {{"head", 0, false, ""},       {"num-cpus", 'n', true, ""},
                                   {"resources", 0, true, ""},   {"labels", 'l', true, ""},
                                   {"labels-file", 0, true, ""}, {"help", 'h', false, ""},
                                   {NULL, 0, false, NULL}};

/* Words end at line feeds; each is a block of its own, as long as its text. */
static void parse(char *text) {
    char *argv[64];
    int argc = 0;
    for (char *word = strtok_r(text, "\n", &text); word != NULL && argc < 64;
         word = strtok_r(NULL, "\n", &text)) {
        argv[argc++] = strdup(word);
        WR_ASSERT(argv[argc - 1] != NULL);
    }
    cli_values values;
    wr_error err;
    memset(&err, 0, sizeof err);
    if (cli_parse(table, argc, argv, &values, &err) == WR_OK) {
        for (int i = 0; table[i].name != NULL; i++) {
            const char *value = cli_value(table, &values, table[i].name);
            WR_ASSERT(value == values.of[i] && (value == NULL || strlen(value) < 65536));
        }
    } else {
        WR_ASSERT(err.text[0] != 0);
    }
    while (argc > 0) {
        free(argv[--argc]);
    }
}

static void resources(const char *json) {
    char out[256];
    wr_error err;
    memset(&err, 0, sizeof err);
    if (cli_resources(json, out, sizeof out, &err) != WR_OK) {
        WR_ASSERT(err.text[0] != 0);
        return;
    }
    size_t end = strlen(json);
    while (end > 0 && strchr(" \t\r\n", json[end - 1]) != NULL) {
        end--;
    }
    WR_ASSERT(strlen(out) < sizeof out && end > 1 && json[end - 1] == '}'); /* it was read to its end */
    wr_res_names names;
    wr_res res;
    WR_ASSERT(wr_res_names_init(&names, NULL) == WR_OK);
    (void)wr_res_parse(&names, wr_span_text(out), &res,
                       NULL); /* as the raylet does; names are its own matter */
    wr_res_names_done(&names);
}

static void labels(const uint8_t *data, size_t size) {
    if (size == 0) {
        return; /* fmemopen has no empty file */
    }
    FILE *file = fmemopen((void *)(uintptr_t)data, size, "r");
    char out[256] = "a=b";
    wr_error err;
    memset(&err, 0, sizeof err);
    WR_ASSERT(file != NULL);
    wr_status status = cli_labels(file, "FILE", out, sizeof out, &err);
    fclose(file);
    WR_ASSERT(strlen(out) < sizeof out && (status == WR_OK || err.text[0] != 0));
    WR_ASSERT(strncmp(out, "a=b", 3) == 0 && strchr(out, '\n') == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    uint8_t which = data[0];
    data++;
    size--;
    char *text = calloc(size + 1, 1); /* exactly as long as the text: a byte beyond it is seen */
    WR_ASSERT(text != NULL);
    memcpy(text, data, size);
    double number;
    switch (which % 4) {
    case 0:
        parse(text);
        break;
    case 1:
        resources(text);
        break;
    case 2:
        if (cli_number("x", text, 0, 64, &number, NULL) == WR_OK) {
            WR_ASSERT(number >= 0 && number <= 64);
        }
        break;
    default:
        labels(data, size);
        break;
    }
    free(text);
    return 0;
}
