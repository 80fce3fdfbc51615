/* OpenSSH's own private key format, openssh-key-v1 (PROTOCOL.key): an envelope with the public key
   in the clear and the private half under a cipher. */
#include <openssl/evp.h>
#include <string.h>

#include "ssh/key_parts.h"

#define MAGIC "openssh-key-v1" /* with its NUL */

/* A round costs about 8 ms: this many take minutes. ssh-keygen writes 16. */
#ifndef SL_BCRYPT_ROUNDS_MAX
#define SL_BCRYPT_ROUNDS_MAX 65536
#endif
enum { SALT_MAX = 1024, KEY_AND_IV_MAX = 64 };

typedef struct key_cipher {
  const char *name;
  const char *evp; /* libcrypto's name; NULL for the two that are no EVP cipher */
  size_t key_len, iv_len, block, tag_len;
} key_cipher;

static const key_cipher ciphers[] = {
    {"none", NULL, 0, 0, 8, 0},
    {"aes256-ctr", "AES-256-CTR", 32, 16, 16, 0},
    {"aes192-ctr", "AES-192-CTR", 24, 16, 16, 0},
    {"aes128-ctr", "AES-128-CTR", 16, 16, 16, 0},
    {"aes256-cbc", "AES-256-CBC", 32, 16, 16, 0},
    {"aes192-cbc", "AES-192-CBC", 24, 16, 16, 0},
    {"aes128-cbc", "AES-128-CBC", 16, 16, 16, 0},
    {"3des-cbc", "DES-EDE3-CBC", 24, 8, 8, 0},
    {"aes256-gcm@openssh.com", "AES-256-GCM", 32, 12, 16, 16},
    {"aes128-gcm@openssh.com", "AES-128-GCM", 16, 12, 16, 16},
    {"chacha20-poly1305@openssh.com", NULL, 64, 0, 8, 16},
};

typedef struct envelope {
  const key_cipher *cipher;
  sl_span kdf, kdf_options, public_blob, secret, tag;
} envelope;

static int envelope_read(sl_span file, envelope *env, sl_err *err) {
  sl_reader r = sl_reader_of(file.p, file.n);
  sl_span magic, cipher;
  uint32_t keys;
  if (!sl_get_bytes(&r, sizeof MAGIC, &magic) || memcmp(magic.p, MAGIC, sizeof MAGIC) != 0 ||
      !sl_get_string(&r, &cipher) || !sl_get_string(&r, &env->kdf) ||
      !sl_get_string(&r, &env->kdf_options) || !sl_get_u32(&r, &keys) || keys != 1 ||
      !sl_get_string(&r, &env->public_blob) || !sl_get_string(&r, &env->secret))
    return sl_key_bad_format(err, "the OpenSSH key's envelope is damaged"), -1;
  env->cipher = NULL;
  for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++) {
    if (sl_span_is(cipher, ciphers[i].name)) env->cipher = &ciphers[i];
  }
  if (!env->cipher)
    return sl_key_unsupported(err, "the key is encrypted with a cipher that is not supported"), -1;
  if (!sl_get_bytes(&r, env->cipher->tag_len, &env->tag) || sl_reader_left(&r) != 0 ||
      env->secret.n < env->cipher->block || env->secret.n % env->cipher->block != 0)
    return sl_key_bad_format(err, "the OpenSSH key's envelope is damaged"), -1;
  return 0;
}

/* The type, seen before any passphrase is asked for. */
static const sl_pubkey_type *envelope_type(const envelope *env, sl_err *err) {
  sl_reader r = sl_reader_of(env->public_blob.p, env->public_blob.n);
  sl_span name;
  const sl_pubkey_type *type = sl_pubkey_type_of_blob(env->public_blob.p, env->public_blob.n);
  if (!type) {
    if (sl_get_string(&r, &name) && !sl_pubkey_type_find(name))
      sl_pubkey_type_refuse(name, err);
    else
      sl_key_bad_format(err, "the OpenSSH key's public half is damaged");
  } else if (sl_pubkey_type_is_sk(type)) {
    sl_key_unsupported(err, "FIDO keys (sk-*) sign only through the agent: add it with ssh-add");
  } else if (sl_pubkey_type_is_certificate(type)) {
    sl_key_unsupported(err, "private keys with a certificate inside are not supported");
  } else {
    return type;
  }
  return NULL;
}

/* Writes len bytes to out. A wrong key shows in the tag, or later in the plaintext. */
static bool evp_decrypt(const envelope *env, const unsigned char *key_iv, unsigned char *out) {
  int n = 0, last = 0, len = (int)env->secret.n;
  EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, env->cipher->evp, NULL);
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  const unsigned char *iv = key_iv + env->cipher->key_len;
  bool ok = cipher && ctx && EVP_DecryptInit_ex2(ctx, cipher, key_iv, iv, NULL) == 1 &&
            EVP_CIPHER_CTX_set_padding(ctx, 0) == 1;
  if (ok && env->tag.n > 0)
    ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)env->tag.n,
                             (void *)(uintptr_t)env->tag.p) == 1;
  ok = ok && EVP_DecryptUpdate(ctx, out, &n, env->secret.p, len) == 1 &&
       EVP_DecryptFinal_ex(ctx, out + n, &last) == 1 && n + last == len;
  EVP_CIPHER_CTX_free(ctx);
  EVP_CIPHER_free(cipher);
  return ok;
}

/* XORs the ChaCha20 stream for packet number 0 from block `counter` on into out. */
static bool chacha20(const unsigned char *key, unsigned char counter, const unsigned char *in,
                     size_t len, unsigned char *out) {
  unsigned char iv[16] = {counter}; /* counter and nonce, little-endian */
  int n = 0;
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  bool ok = ctx && EVP_DecryptInit_ex2(ctx, EVP_chacha20(), key, iv, NULL) == 1 &&
            EVP_DecryptUpdate(ctx, out, &n, in, (int)len) == 1 && (size_t)n == len;
  EVP_CIPHER_CTX_free(ctx);
  return ok;
}

static bool poly1305(const unsigned char key[32], sl_span data, unsigned char tag[16]) {
  size_t n = 0;
  EVP_MAC *mac = EVP_MAC_fetch(NULL, "POLY1305", NULL);
  EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
  bool ok = ctx && EVP_MAC_init(ctx, key, 32, NULL) == 1 &&
            EVP_MAC_update(ctx, data.p, data.n) == 1 && EVP_MAC_final(ctx, tag, &n, 16) == 1 &&
            n == 16;
  EVP_MAC_CTX_free(ctx);
  EVP_MAC_free(mac);
  return ok;
}

/* PROTOCOL.chacha20poly1305 with packet number 0; a file has no encrypted length, so the second
   half of the key goes unused. */
static bool chacha_decrypt(const envelope *env, const unsigned char *key, unsigned char *out) {
  unsigned char zero[32] = {0}, mac_key[32], tag[16];
  bool ok = chacha20(key, 0, zero, sizeof zero, mac_key) && poly1305(mac_key, env->secret, tag) &&
            CRYPTO_memcmp(tag, env->tag.p, sizeof tag) == 0 &&
            chacha20(key, 1, env->secret.p, env->secret.n, out);
  OPENSSL_cleanse(mac_key, sizeof mac_key);
  return ok;
}

static bool kdf_read(const envelope *env, sl_span *salt, uint32_t *rounds, sl_err *err) {
  sl_reader r = sl_reader_of(env->kdf_options.p, env->kdf_options.n);
  if (!sl_span_is(env->kdf, "bcrypt"))
    return sl_key_unsupported(err, "the key's passphrase hash is not bcrypt"), false;
  if (!sl_get_string(&r, salt) || !sl_get_u32(&r, rounds) || sl_reader_left(&r) != 0 ||
      salt->n == 0 || salt->n > SALT_MAX || *rounds == 0)
    return sl_key_bad_format(err, "the OpenSSH key's bcrypt parameters are damaged"), false;
  if (*rounds <= SL_BCRYPT_ROUNDS_MAX) return true;
  sl_err_set(err, SL_AUTH, "UNSUPPORTED", 0, "the key asks for %lu rounds of bcrypt, more than %d",
             (unsigned long)*rounds, SL_BCRYPT_ROUNDS_MAX);
  return false;
}

static bool decrypt(const envelope *env, sl_span pass, unsigned char *out, sl_err *err) {
  unsigned char key_iv[KEY_AND_IV_MAX];
  sl_span salt;
  uint32_t rounds;
  if (!kdf_read(env, &salt, &rounds, err)) return false;
  if (!sl_bcrypt_available())
    return sl_key_unsupported(err, "this build cannot decrypt OpenSSH key files (it has the "
                                   "system's libssh2): load the key into ssh-agent, or rewrite a "
                                   "copy with ssh-keygen -p -m PEM"),
           false;
  if (!pass.p) return sl_key_need_passphrase(err), false;
  bool ok = pass.n > 0 &&
            sl_bcrypt_pbkdf(pass, salt, rounds, key_iv, env->cipher->key_len + env->cipher->iv_len);
  ok = ok && (env->cipher->evp ? evp_decrypt(env, key_iv, out) : chacha_decrypt(env, key_iv, out));
  OPENSSL_cleanse(key_iv, sizeof key_iv);
  if (!ok) sl_key_wrong_passphrase(err);
  return ok;
}

static sl_key *read_ed25519(sl_reader *r, sl_err *err) {
  sl_span point, secret;
  if (!sl_get_string(r, &point) || !sl_get_string(r, &secret) || point.n != 32 || secret.n != 64 ||
      memcmp(secret.p + 32, point.p, 32) != 0)
    return sl_key_bad_format(err, "the OpenSSH key's private half is damaged");
  return sl_key_build_ed25519((sl_span){secret.p, 32}, point, err);
}

static sl_key *read_ecdsa(sl_reader *r, const sl_pubkey_type *type, sl_err *err) {
  sl_span curve, point;
  sl_number d;
  if (!sl_get_string(r, &curve) || !sl_span_is(curve, type->curve) || !sl_get_string(r, &point) ||
      point.n == 0 || !sl_get_mpint(r, &d))
    return sl_key_bad_format(err, "the OpenSSH key's private half is damaged");
  return sl_key_build_ecdsa(type, d, point, err);
}

static sl_key *read_rsa(sl_reader *r, sl_err *err) {
  sl_rsa_numbers k;
  if (!sl_get_mpint(r, &k.n) || !sl_get_mpint(r, &k.e) || !sl_get_mpint(r, &k.d) ||
      !sl_get_mpint(r, &k.iqmp) || !sl_get_mpint(r, &k.p) || !sl_get_mpint(r, &k.q))
    return sl_key_bad_format(err, "the OpenSSH key's private half is damaged");
  return sl_key_build_rsa(&k, err);
}

static sl_key *read_numbers(sl_reader *r, const sl_pubkey_type *type, sl_err *err) {
  sl_span name;
  if (!sl_get_string(r, &name) || !sl_span_is(name, type->name))
    return sl_key_bad_format(err, "private and public half of the key differ");
  switch (type->kind) {
  case SL_KEY_ED25519:
    return read_ed25519(r, err);
  case SL_KEY_ECDSA:
    return read_ecdsa(r, type, err);
  default:
    return read_rsa(r, err);
  }
}

/* 1, 2, 3... up to the end. */
static bool padding_is_right(sl_reader *r) {
  uint8_t byte, expected = 1;
  while (sl_get_u8(r, &byte)) {
    if (byte != expected++) return false;
  }
  return true;
}

static sl_key *read_private(sl_span plain, const envelope *env, const sl_pubkey_type *type,
                            sl_err *err) {
  sl_reader r = sl_reader_of(plain.p, plain.n);
  uint32_t check1, check2;
  sl_span comment;
  if (!sl_get_u32(&r, &check1) || !sl_get_u32(&r, &check2) || check1 != check2) {
    if (env->cipher->key_len > 0) return sl_key_wrong_passphrase(err);
    return sl_key_bad_format(err, "the OpenSSH key's private half is damaged");
  }
  sl_key *key = read_numbers(&r, type, err);
  if (!key) return NULL;
  if (!sl_get_string(&r, &comment) || !padding_is_right(&r))
    sl_key_bad_format(err, "the OpenSSH key's private half is damaged");
  else if (!sl_span_equal((sl_span){key->blob, key->blob_len}, env->public_blob))
    sl_key_bad_format(err, "private and public half of the key differ");
  else if (!sl_key_set_comment(key, comment))
    sl_key_no_memory(err);
  else
    return key;
  sl_key_unref(key);
  return NULL;
}

sl_key *sl_key_from_openssh(sl_span file, sl_span pass, sl_err *err) {
  envelope env;
  sl_key *key = NULL;
  if (envelope_read(file, &env, err)) return NULL;
  const sl_pubkey_type *type = envelope_type(&env, err);
  if (!type) return NULL;
  if (env.cipher->key_len == 0) {
    if (!sl_span_is(env.kdf, "none") || env.kdf_options.n != 0)
      return sl_key_bad_format(err, "the OpenSSH key's envelope is damaged");
    return read_private(env.secret, &env, type, err);
  }
  unsigned char *plain = OPENSSL_malloc(env.secret.n);
  if (!plain) return sl_key_no_memory(err);
  if (decrypt(&env, pass, plain, err))
    key = read_private((sl_span){plain, env.secret.n}, &env, type, err);
  OPENSSL_clear_free(plain, env.secret.n);
  return key;
}

int sl_openssh_peek(sl_span file, sl_public_key *out, sl_err *err) {
  envelope env;
  if (envelope_read(file, &env, err) || !envelope_type(&env, err)) return -1;
  return sl_public_key_from_blob(env.public_blob.p, env.public_blob.n, NULL, 0, out, err);
}
