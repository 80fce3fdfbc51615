/* Private keys: parsed once into an object, used through a sign function.
   Knows key files and signatures; must not know files, sessions or libssh2's objects: everything
   here may run in a thread pool, on one key from several threads. Messages hold no key material and
   no passphrase. */
#ifndef SL_KEY_H
#define SL_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ssh/public_key.h"

typedef struct sl_key sl_key;

/* Reads OpenSSH (openssh-key-v1), PEM (RSA, EC) and PKCS#8 files, encrypted or not, of types
   ssh-ed25519, ecdsa-sha2-nistp* and ssh-rsa (1024 bits and more). Takes as long as the file's key
   derivation asks for (bounded): call it in the thread pool. pass == NULL: none is known.

   NULL with *err on failure: kind memory, or kind auth and one of these names.

   NEED_PASSPHRASE   encrypted, and pass is NULL
   WRONG_PASSPHRASE  or, where the format has no checksum, damaged in its encrypted part
   BAD_FORMAT        no key, or a damaged one
   UNSUPPORTED       a key of a type, format or cipher that is not for us; the message has a hint */
sl_key *sl_key_parse(const char *data, size_t len, const char *pass, size_t pass_len, sl_err *err);

/* The public half that an OpenSSH file carries in the clear: lets one ask the server whether it
   would take the key before a passphrase is asked for. 0, or -1 with *err; formats without one:
   name NO_PUBLIC_HALF. */
int sl_key_peek(const char *data, size_t len, sl_public_key *out, sl_err *err);

sl_key *sl_key_ref(sl_key *key);
void sl_key_unref(sl_key *key); /* NULL is fine */

const char *sl_key_type(const sl_key *key); /* "ssh-ed25519"; static storage */
const unsigned char *sl_key_blob(const sl_key *key, size_t *len);
/* "" when there is none; bytes of a file, not cleaned. */
const char *sl_key_comment(const sl_key *key);

/* Signs with signature algorithm `alg` of RFC 4253, 5656, 8332, 8709, or a certificate's form of
   it. *sig is what libssh2's sign callback returns: the signature blob's content without algorithm
   name and outer length; malloc'ed. ssh-rsa (SHA-1) is signed too: whether to agree to it is the
   caller's policy. 0, or -1 with *err: kind auth, name UNSUPPORTED (algorithm not for this key) or
   SIGN_FAILED. */
int sl_key_sign(const sl_key *key, const char *alg, size_t alg_len, const unsigned char *data,
                size_t len, unsigned char **sig, size_t *sig_len, sl_err *err);

/* Milliseconds rather than a fraction of one: sign in the thread pool. */
bool sl_key_sign_is_slow(const sl_key *key);

/* The request that adds the key to an agent, with its length in front (key_agent.c). seconds 0: for ever. Returns how
   many bytes it has, written to out unless that is NULL; 0 when the key cannot be written or there is not enough
   room. Call it with NULL first. out then holds the private half: wipe it. */
size_t sl_key_agent_add(const sl_key *key, const char *comment, size_t comment_len, uint32_t seconds, bool confirm,
                        unsigned char *out, size_t room);

/* Reads the signature algorithm out of the bytes that libssh2 gives to a sign callback (RFC 4252,
   section 7). 0, or -1 when they are not such a request; *alg points into data. */
int sl_sign_algorithm(const unsigned char *data, size_t len, const char **alg, size_t *alg_len);

#endif
