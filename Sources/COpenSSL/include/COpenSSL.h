/// The parts of OpenSSL 3 that Swift cannot call as they are: macros, variadic functions and typed stacks.
#ifndef FAIRLEAD_COPENSSL_H
#define FAIRLEAD_COPENSSL_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdint.h>

/// TLS 1.2 and newer, no compression, no renegotiation, no tickets, no session cache, partial writes allowed, small
/// buffers while idle. Returns 0 on failure.
int copenssl_context_harden(SSL_CTX *context);
/// Adds a copy of a certificate to the chain that is sent after the own certificate.
int copenssl_context_add_chain(SSL_CTX *context, X509 *certificate);
/// Sets the server name that the client asks for (SNI).
int copenssl_set_sni(SSL *session, const char *name);
/// A pointer of the caller's that callbacks can find again.
int copenssl_set_user_data(SSL *session, void *data);
void *copenssl_user_data(const SSL *session);
/// The session whose certificate chain is being verified.
SSL *copenssl_session_of(X509_STORE_CTX *store);
/// The negotiated version, such as "TLSv1.3", and whether the handshake is over.
int copenssl_handshake_done(const SSL *session);

/// Makes an empty memory BIO whose end means "more may come" (a retry), not the end of the stream.
BIO *copenssl_memory_bio(void);
/// The bytes that wait in a memory BIO.
long copenssl_memory_bytes(BIO *bio, const char **start);

int copenssl_error_reason(unsigned long error);
int copenssl_error_library(unsigned long error);

/// The kinds that copenssl_alternative_names reports.
enum { COPENSSL_NAME_DNS = 1, COPENSSL_NAME_IP = 2 };
/// Calls back for each DNS name and IP address (4 or 16 bytes) of the certificate.
void copenssl_alternative_names(
    const X509 *certificate, void *data,
    void (*each)(void *data, int kind, const unsigned char *bytes, int length));
/// Seconds since 1970, or INT64_MIN when the time cannot be read.
int64_t copenssl_seconds(const ASN1_TIME *time);

/// A new ECDSA key on P-256.
EVP_PKEY *copenssl_p256_key(void);
/// Adds an extension given in the text form of openssl.cnf(5). `issuer` is needed for authorityKeyIdentifier.
int copenssl_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value);

/// Reads the next PEM item; never asks a terminal for a pass phrase.
X509 *copenssl_read_certificate(BIO *bio);
EVP_PKEY *copenssl_read_key(BIO *bio);

#endif
