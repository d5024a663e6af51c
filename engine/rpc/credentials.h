/* engine/rpc/credentials.h: what every connection between daemons shows and asks for: RPC today, bulk
 * transfers when there are several nodes.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

/* All members are borrowed for the call they are passed to. token: of the cluster, required, 16 to 512
 * printable bytes. Without a certificate: plaintext. With one: TLS, both sides must show a certificate that
 * tls_ca signed and whose subjectAltName has DNS:whipray. Paths of PEM files. */
typedef struct wr_rpc_credentials {
    const char *token;
    const char *tls_cert, *tls_key, *tls_ca; /* all three, or all NULL */
} wr_rpc_credentials;

/* Fails: INVALID (token missing, short or not printable; some but not all of the TLS files). */
WR_MUST_USE wr_status wr_rpc_credentials_check(const wr_rpc_credentials *credentials, wr_error *err);

WR_END_DECLS
