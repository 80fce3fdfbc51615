/* The key pair and the shared secret of curve25519-sha256 (RFC 8731), in place of libssh2's
   functions, which take the key pair apart into bytes and make libcrypto compute it again from
   them, a tenth of what a connection costs (the linker's --wrap swaps them). Knows libcrypto only,
   and where an engine keeps the key pair until the server has answered. */
#ifdef SL_PACKET_HOOK

#include "libssh2_priv.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdatomic.h>

#include "engine/engine.h"

enum { KEY_LEN = 32 };

int __wrap__libssh2_curve25519_new(LIBSSH2_SESSION *session, uint8_t **out_public_key,
                                   uint8_t **out_private_key);
int __wrap__libssh2_curve25519_gen_k(_libssh2_bn **k, uint8_t *private_key,
                                     uint8_t *server_public_key);

/* What is expensive to make and holds nothing secret waits here for the next connection. Whoever
   takes one out has it for himself. */
static struct {
  _Atomic(EVP_PKEY_CTX *) generator;
  _Atomic(EVP_PKEY *) peer;
} spare;

static EVP_PKEY_CTX *generator(void) {
  EVP_PKEY_CTX *ctx = atomic_exchange(&spare.generator, NULL);
  if (ctx) return ctx;
  ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_X25519, NULL);
  if (ctx && EVP_PKEY_keygen_init(ctx) > 0) return ctx;
  EVP_PKEY_CTX_free(ctx);
  return NULL;
}

static EVP_PKEY *generate(void) {
  EVP_PKEY *pair = NULL;
  EVP_PKEY_CTX *ctx = generator();
  if (!ctx) return NULL;
  EVP_PKEY_keygen(ctx, &pair);
  EVP_PKEY_CTX_free(pair ? atomic_exchange(&spare.generator, ctx) : ctx);
  return pair;
}

static EVP_PKEY *peer_of(const uint8_t public_key[KEY_LEN]) {
  EVP_PKEY *peer = atomic_exchange(&spare.peer, NULL);
  if (peer && EVP_PKEY_set1_encoded_public_key(peer, public_key, KEY_LEN) > 0) return peer;
  EVP_PKEY_free(peer);
  return EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public_key, KEY_LEN);
}

void sl_kex_forget(sl_engine *e) {
  EVP_PKEY_free(e->kex_pair);
  e->kex_pair = NULL;
}

int __wrap__libssh2_curve25519_new(LIBSSH2_SESSION *session, uint8_t **out_public_key,
                                   uint8_t **out_private_key) {
  sl_engine *e = session->abstract;
  size_t len = KEY_LEN;
  sl_kex_forget(e);
  e->kex_pair = generate();
  unsigned char *public_key = LIBSSH2_ALLOC(session, KEY_LEN);
  unsigned char *private_key = LIBSSH2_ALLOC(session, KEY_LEN);
  if (!e->kex_pair || !public_key || !private_key ||
      EVP_PKEY_get_raw_public_key(e->kex_pair, public_key, &len) != 1) {
    if (public_key) LIBSSH2_FREE(session, public_key);
    if (private_key) LIBSSH2_FREE(session, private_key);
    return -1;
  }
  memcpy(private_key, &e,
         sizeof e); /* what libssh2 keeps, wipes and frees as the private key is where the key is */
  *out_public_key = public_key;
  *out_private_key = private_key;
  return 0;
}

/* libcrypto refuses a point that makes the secret zero, as RFC 8731 3 wants. Nothing else is to be
   checked (RFC 7748 5: every string of 32 bytes is a public key), which would cost a context. */
static int derive(EVP_PKEY *ours, EVP_PKEY *theirs, unsigned char secret[KEY_LEN]) {
  size_t len = KEY_LEN;
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(ours, NULL);
  int ok = ctx && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer_ex(ctx, theirs, 0) > 0 &&
           EVP_PKEY_derive(ctx, secret, &len) > 0 && len == KEY_LEN;
  EVP_PKEY_CTX_free(ctx);
  return ok;
}

int __wrap__libssh2_curve25519_gen_k(_libssh2_bn **k, uint8_t *private_key,
                                     uint8_t *server_public_key) {
  sl_engine *e;
  memcpy(&e, private_key, sizeof e);
  unsigned char secret[KEY_LEN];
  EVP_PKEY *theirs = peer_of(server_public_key);
  int ok = k && *k && theirs && e->kex_pair && derive(e->kex_pair, theirs, secret) &&
           BN_bin2bn(secret, KEY_LEN, *k);
  EVP_PKEY_free(ok ? atomic_exchange(&spare.peer, theirs) : theirs);
  OPENSSL_cleanse(secret, sizeof secret);
  sl_kex_forget(e);
  return ok ? 0 : -1;
}

#else
#include "engine/engine.h"
void sl_kex_forget(sl_engine *e) {
  (void)e;
}
#endif
