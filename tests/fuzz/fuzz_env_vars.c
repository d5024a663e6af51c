/* The JSON text of a runtime environment, as a driver sends it: whatever it is, each variable read fits the buffers and
 * is longer than nothing that was there. */
#include "raylet/shell/env_json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const char *json) {
    const char *at = shell_env_json_begin(json);
    size_t room = strlen(json) + 8;
    char *name = wr_calloc(room, 1), *value = wr_calloc(room, 1);
    WR_ASSERT(name != NULL && value != NULL);
    while (at != NULL) {
        const char *before = at;
        if (!shell_env_json_next(&at, name, value, room)) {
            WR_ASSERT(at == before);
            break;
        }
        WR_ASSERT(at > before && at <= json + strlen(json));
        WR_ASSERT(strlen(name) + strlen(value) <= (size_t)(at - before));
    }
    wr_free(name);
    wr_free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char begin[] = "{\"env_vars\": {\"";
    char *text =
        wr_calloc(sizeof begin + size, 1); /* exactly as long as the text: a byte beyond it is seen */
    WR_ASSERT(text != NULL);
    memcpy(text, begin, sizeof begin - 1);
    memcpy(text + sizeof begin - 1, data, size);
    read_all(text);
    wr_free(text);
    text = wr_calloc(size + 1, 1);
    WR_ASSERT(text != NULL);
    memcpy(text, data, size);
    read_all(text);
    wr_free(text);
    return 0;
}
