#define _GNU_SOURCE
#include "COpenSSL.h"

#include <time.h>

/// OpenSSL frees all that it has when the process exits, also under a thread that is just then in it: a probe that begins while
/// a daemon that cannot start ends (OPENSSL_init_crypto(3)).
__attribute__((constructor)) static void keepUntilTheEnd(void) {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

int copenssl_context_harden(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1;
}

int copenssl_context_add_chain(SSL_CTX *context, X509 *certificate) {
    return SSL_CTX_add1_chain_cert(context, certificate) == 1;
}

int copenssl_set_sni(SSL *session, const char *name) { return SSL_set_tlsext_host_name(session, name) == 1; }

int copenssl_set_user_data(SSL *session, void *data) { return SSL_set_app_data(session, data); }

void *copenssl_user_data(const SSL *session) { return SSL_get_app_data(session); }

SSL *copenssl_session_of(X509_STORE_CTX *store) {
    return X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
}

int copenssl_handshake_done(const SSL *session) { return SSL_is_init_finished(session); }

BIO *copenssl_memory_bio(void) {
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio != NULL) BIO_set_mem_eof_return(bio, -1);
    return bio;
}

long copenssl_memory_bytes(BIO *bio, const char **start) { return BIO_get_mem_data(bio, (char **)start); }

int copenssl_error_reason(unsigned long error) { return ERR_GET_REASON(error); }

int copenssl_error_library(unsigned long error) { return ERR_GET_LIB(error); }

void copenssl_alternative_names(const X509 *certificate, void *data,
                                void (*each)(void *data, int kind, const unsigned char *bytes, int length)) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (names == NULL) return;
    for (int index = 0; index < sk_GENERAL_NAME_num(names); index++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
        if (name->type == GEN_DNS) {
            each(data, COPENSSL_NAME_DNS, ASN1_STRING_get0_data(name->d.dNSName), ASN1_STRING_length(name->d.dNSName));
        } else if (name->type == GEN_IPADD) {
            each(data, COPENSSL_NAME_IP, ASN1_STRING_get0_data(name->d.iPAddress),
                 ASN1_STRING_length(name->d.iPAddress));
        }
    }
    GENERAL_NAMES_free(names);
}

int64_t copenssl_seconds(const ASN1_TIME *time) {
    struct tm parts;
    if (time == NULL || ASN1_TIME_to_tm(time, &parts) != 1) return INT64_MIN;
    return (int64_t)timegm(&parts);
}

EVP_PKEY *copenssl_p256_key(void) { return EVP_EC_gen("P-256"); }

int copenssl_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (extension == NULL) return 0;
    int added = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added == 1;
}

static int no_pass_phrase(char *buffer, int size, int writing, void *data) {
    (void)buffer, (void)size, (void)writing, (void)data;
    return -1;
}

X509 *copenssl_read_certificate(BIO *bio) { return PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL); }

EVP_PKEY *copenssl_read_key(BIO *bio) { return PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL); }
