#include "rpc/grpc_util.h"

#include <errno.h>
#include <stdio.h>

enum { TOKEN_MIN = 16, TOKEN_MAX = 512, PEM_MAX = 1024 * 1024 };

/* ---- codes */

grpc_status_code wr_grpc_code(wr_status status) {
    return (grpc_status_code)wr_status_to_grpc(status);
}

wr_status wr_grpc_error(grpc_status_code code, const char *text, wr_error *err) {
    switch (code) {
    case GRPC_STATUS_OK:
        return WR_OK;
    case GRPC_STATUS_UNAVAILABLE:
        return WR_FAIL(err, WR_E_UNAVAILABLE, "the peer cannot be reached: %s", text);
    case GRPC_STATUS_DEADLINE_EXCEEDED:
        return WR_FAIL(err, WR_E_TIMEOUT, "no answer in time");
    case GRPC_STATUS_UNAUTHENTICATED:
        return WR_FAIL(err, WR_E_UNAUTHENTICATED, "%s", text);
    case GRPC_STATUS_CANCELLED:
        return WR_FAIL(err, WR_E_CANCELLED, "cancelled: %s", text);
    case GRPC_STATUS_RESOURCE_EXHAUSTED:
        return WR_FAIL(err, WR_E_LIMIT, "%s", text);
    case GRPC_STATUS_UNIMPLEMENTED:
        return WR_FAIL(err, WR_E_VERSION, "the peer does not know this call: %s", text);
    default:
        return WR_FAIL(err, wr_status_from_grpc((int)code), "%s", text);
    }
}

/* ---- time, bytes */

gpr_timespec wr_grpc_deadline(wr_time_ns at) {
    if (at >= (wr_time_ns)INT64_MAX) {
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    }
    return gpr_time_from_nanos((int64_t)at, GPR_CLOCK_MONOTONIC);
}

grpc_byte_buffer *wr_grpc_buffer(const void *data, uint32_t bytes) {
    grpc_slice slice = grpc_slice_malloc_large(bytes);
    if (bytes > 0) {
        memcpy(GRPC_SLICE_START_PTR(slice), data, bytes);
    }
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

wr_status wr_grpc_bytes(grpc_byte_buffer *buffer, uint8_t **out, uint32_t *out_bytes, wr_error *err) {
    size_t length = grpc_byte_buffer_length(buffer);
    if (length > WR_RPC_MESSAGE_BYTES_MAX) {
        return WR_FAIL(err, WR_E_LIMIT, "a message of %zu bytes", length);
    }
    uint8_t *data = wr_calloc(1, length == 0 ? 1 : length);
    if (data == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a message of %zu bytes", length);
    }
    grpc_byte_buffer_reader reader;
    size_t at = 0;
    if (!grpc_byte_buffer_reader_init(&reader, buffer)) {
        wr_free(data);
        return WR_FAIL(err, WR_E_PROTOCOL, "a message that cannot be read");
    }
    grpc_slice slice;
    while (grpc_byte_buffer_reader_next(&reader, &slice) != 0) {
        size_t n = GRPC_SLICE_LENGTH(slice);
        WR_ASSERT(n <= length - at);
        memcpy(data + at, GRPC_SLICE_START_PTR(slice), n);
        at += n;
        grpc_slice_unref(slice);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    *out = data;
    *out_bytes = (uint32_t)at;
    return WR_OK;
}

/* ---- credentials */

wr_status wr_rpc_credentials_check(const wr_rpc_credentials *c, wr_error *err) {
    size_t length = c->token == NULL ? 0 : strlen(c->token);
    if (length < TOKEN_MIN || length > TOKEN_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "the cluster's token must have %d to %d characters", TOKEN_MIN,
                       TOKEN_MAX);
    }
    for (size_t i = 0; i < length; i++) {
        if (c->token[i] <= 0x20 || c->token[i] >= 0x7f) {
            return WR_FAIL(err, WR_E_INVALID,
                           "the cluster's token must be printable characters without blanks");
        }
    }
    int files = (c->tls_cert != NULL) + (c->tls_key != NULL) + (c->tls_ca != NULL);
    if (files != 0 && files != 3) {
        return WR_FAIL(err, WR_E_INVALID, "TLS needs all of certificate, key and certificate authority");
    }
    return WR_OK;
}

bool wr_bytes_equal_secret(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
    const volatile uint8_t *x = a, *y = b;
    if (a_bytes != b_bytes) {
        return false;
    }
    uint8_t differs = 0;
    for (size_t i = 0; i < a_bytes; i++) {
        differs = (uint8_t)(differs | (x[i] ^ y[i]));
    }
    return differs == 0;
}

wr_status wr_grpc_bearer(const wr_rpc_credentials *c, char **out, wr_error *err) {
    size_t bytes = strlen(c->token) + sizeof "Bearer ";
    char *text = wr_calloc(1, bytes);
    if (text == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a token");
    }
    snprintf(text, bytes, "Bearer %s", c->token);
    *out = text;
    return WR_OK;
}

static wr_status read_pem(const char *path, char **out, wr_error *err) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return WR_FAIL_ERRNO(err, "TLS: %s", path);
    }
    char *text = wr_calloc(1, PEM_MAX + 1);
    size_t bytes = text == NULL ? 0 : fread(text, 1, PEM_MAX + 1, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (text == NULL || failed || bytes == 0 || bytes > PEM_MAX) {
        wr_free(text);
        return WR_FAIL(err, WR_E_IO, "TLS: %s cannot be read, is empty or too long", path);
    }
    text[bytes] = 0;
    *out = text;
    return WR_OK;
}

typedef struct pem_files {
    char *cert, *key, *ca;
} pem_files;

static void pem_done(pem_files *pem) {
    wr_free(pem->cert);
    wr_free(pem->key);
    wr_free(pem->ca);
}

static wr_status pem_read(const wr_rpc_credentials *c, pem_files *out, wr_error *err) {
    wr_status status = read_pem(c->tls_cert, &out->cert, err);
    status = status == WR_OK ? read_pem(c->tls_key, &out->key, err) : status;
    return status == WR_OK ? read_pem(c->tls_ca, &out->ca, err) : status;
}

wr_status wr_grpc_client_credentials(const wr_rpc_credentials *c, grpc_channel_credentials **out,
                                     wr_error *err) {
    WR_TRY(wr_rpc_credentials_check(c, err));
    if (c->tls_cert == NULL) {
        *out = grpc_insecure_credentials_create();
        return WR_OK;
    }
    pem_files pem = {NULL, NULL, NULL};
    wr_status status = pem_read(c, &pem, err);
    if (status == WR_OK) {
        grpc_ssl_pem_key_cert_pair pair = {.private_key = pem.key, .cert_chain = pem.cert};
        *out = grpc_ssl_credentials_create_ex(pem.ca, &pair, NULL, NULL);
        status = *out == NULL ? WR_FAIL(err, WR_E_INVALID, "TLS: %s, %s and %s do not fit together",
                                        c->tls_cert, c->tls_key, c->tls_ca)
                              : WR_OK;
    }
    pem_done(&pem);
    return status;
}

wr_status wr_grpc_server_credentials(const wr_rpc_credentials *c, grpc_server_credentials **out,
                                     wr_error *err) {
    WR_TRY(wr_rpc_credentials_check(c, err));
    if (c->tls_cert == NULL) {
        *out = grpc_insecure_server_credentials_create();
        return WR_OK;
    }
    pem_files pem = {NULL, NULL, NULL};
    wr_status status = pem_read(c, &pem, err);
    if (status == WR_OK) {
        grpc_ssl_pem_key_cert_pair pair = {.private_key = pem.key, .cert_chain = pem.cert};
        grpc_ssl_server_certificate_config *config =
            grpc_ssl_server_certificate_config_create(pem.ca, &pair, 1);
        grpc_ssl_server_credentials_options *options =
            grpc_ssl_server_credentials_create_options_using_config(
                GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, config); /* takes config */
        *out = options == NULL ? NULL
                               : grpc_ssl_server_credentials_create_with_options(options); /* takes options */
        status = *out == NULL ? WR_FAIL(err, WR_E_INVALID, "TLS: %s, %s and %s do not fit together",
                                        c->tls_cert, c->tls_key, c->tls_ca)
                              : WR_OK;
    }
    pem_done(&pem);
    return status;
}
