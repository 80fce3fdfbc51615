/* The shared secret of ecdh-sha2-nistp*, in place of libssh2's function, which loses 2 KB in each key exchange with
   OpenSSL 3 (the linker's --wrap swaps it). Knows libcrypto only. */
#ifdef SL_PACKET_HOOK

#include "libssh2_priv.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

int __real__libssh2_ecdh_gen_k(_libssh2_bn **k, _libssh2_ec_key *private_key,
                               const unsigned char *server_public_key, size_t server_public_key_len);
int __wrap__libssh2_ecdh_gen_k(_libssh2_bn **k, _libssh2_ec_key *private_key,
                               const unsigned char *server_public_key, size_t server_public_key_len);

#if OPENSSL_VERSION_NUMBER >= 0x30000000L

enum { SECRET_MAX = 66 }; /* of P-521 */

static int derive(EVP_PKEY *ours, EVP_PKEY *theirs, unsigned char *secret, size_t *len) {
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(ours, NULL);
  int ok = ctx && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer(ctx, theirs) > 0 &&
           EVP_PKEY_derive(ctx, secret, len) > 0;
  EVP_PKEY_CTX_free(ctx);
  return ok;
}

/* libcrypto refuses a point that is not on the curve. */
int __wrap__libssh2_ecdh_gen_k(_libssh2_bn **k, _libssh2_ec_key *private_key,
                               const unsigned char *server_public_key, size_t server_public_key_len) {
  unsigned char secret[SECRET_MAX];
  size_t len = sizeof secret;
  EVP_PKEY *theirs = EVP_PKEY_new();
  int ok = k && *k && theirs && EVP_PKEY_copy_parameters(theirs, private_key) > 0 &&
           EVP_PKEY_set1_encoded_public_key(theirs, server_public_key, server_public_key_len) > 0 &&
           derive(private_key, theirs, secret, &len) && BN_bin2bn(secret, (int)len, *k);
  EVP_PKEY_free(theirs);
  OPENSSL_cleanse(secret, sizeof secret);
  return ok ? 0 : -1;
}

#else

int __wrap__libssh2_ecdh_gen_k(_libssh2_bn **k, _libssh2_ec_key *private_key,
                               const unsigned char *server_public_key, size_t server_public_key_len) {
  return __real__libssh2_ecdh_gen_k(k, private_key, server_public_key, server_public_key_len);
}

#endif
#else
typedef int sl_no_ecdh; /* an empty file is no C */
#endif
