/* bcrypt_pbkdf, which OpenSSH's encrypted key files need and libcrypto has not: libssh2's private
   one, in builds that have libssh2's tree. The only file in this folder that sees libssh2's private
   headers. */
#ifdef SL_LIBSSH2_STATIC
#include "libssh2_priv.h"
#endif

#include "ssh/key_parts.h"

#ifdef SL_LIBSSH2_STATIC

bool sl_bcrypt_available(void) {
  return true;
}

bool sl_bcrypt_pbkdf(sl_span pass, sl_span salt, uint32_t rounds, unsigned char *key, size_t len) {
  return _libssh2_bcrypt_pbkdf((const char *)pass.p, pass.n, salt.p, salt.n, key, len, rounds) == 0;
}

#else

bool sl_bcrypt_available(void) {
  return false;
}

bool sl_bcrypt_pbkdf(sl_span pass, sl_span salt, uint32_t rounds, unsigned char *key, size_t len) {
  (void)pass, (void)salt, (void)rounds, (void)key, (void)len;
  return false;
}

#endif
