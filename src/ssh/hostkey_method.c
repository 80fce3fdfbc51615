/* Host key algorithms in place of libssh2's, through the linker's --wrap: those of OpenSSH's host
   certificates, which libssh2 names but cannot read, and the plain ones, because libssh2 neither
   asks that the key be of the agreed type nor that the signature be of the agreed algorithm.
   Knows what a session agreed on; whether the key, or the certificate's authority, is the right one
   is decided in Lua before anything is sent. */
#ifdef SL_PACKET_HOOK

#include <stdlib.h>
#include <string.h>

#include "libssh2_priv.h"

#include "ssh/certificate.h"
#include "ssh/pubkey_type.h"
#include "ssh/signature.h"

#define CERT "-cert-v01@openssh.com"

const LIBSSH2_HOSTKEY_METHOD **__wrap_libssh2_hostkey_methods(void);

/* The name of the key type that goes with an algorithm. */
static const char *type_for(const char *algorithm) {
  if (strcmp(algorithm, "rsa-sha2-256") == 0 || strcmp(algorithm, "rsa-sha2-512") == 0)
    return "ssh-rsa";
  if (strcmp(algorithm, "rsa-sha2-256" CERT) == 0 || strcmp(algorithm, "rsa-sha2-512" CERT) == 0)
    return "ssh-rsa" CERT;
  return algorithm;
}

static int method_init(LIBSSH2_SESSION *session, const unsigned char *blob, size_t len,
                       void **abstract) {
  const sl_pubkey_type *type = sl_pubkey_type_of_blob(blob, len);
  *abstract = NULL; /* the session holds the blob, and it is read again when the signature comes */
  return type && strcmp(type->name, type_for(session->hostkey->name)) == 0 ? 0 : -1;
}

static int method_verify(LIBSSH2_SESSION *session, const unsigned char *sig, size_t sig_len,
                         const unsigned char *data, size_t len, void **abstract) {
  const char *name = session->hostkey->name, *algorithm = sl_algorithm_plain(name, strlen(name));
  sl_span blob = {session->server_hostkey, session->server_hostkey_len};
  unsigned char *plain = NULL;
  sl_err err;
  (void)abstract;
  if (!algorithm || !blob.p) return -1;
  if (strcmp(algorithm, name) != 0 && strstr(name, CERT)) {
    size_t plain_len = 0;
    plain = sl_certificate_plain_blob(blob.p, blob.n, &plain_len);
    if (!plain) return -1;
    blob = (sl_span){plain, plain_len};
  }
  int rc =
      sl_signature_verify(blob, algorithm, (sl_span){sig, sig_len}, (sl_span){data, len}, &err);
  free(plain);
  return rc;
}

static int method_dtor(LIBSSH2_SESSION *session, void **abstract) {
  (void)session;
  *abstract = NULL;
  return 0;
}

#define METHOD(algorithm, hash)                                                                    \
  {                                                                                                \
    .name = algorithm, .hash_len = hash, .init = method_init, .sig_verify = method_verify,         \
    .dtor = method_dtor                                                                            \
  }

static const LIBSSH2_HOSTKEY_METHOD methods[] = {
    METHOD("ssh-ed25519", 32),
    METHOD("ecdsa-sha2-nistp256", 32),
    METHOD("ecdsa-sha2-nistp384", 48),
    METHOD("ecdsa-sha2-nistp521", 64),
    METHOD("rsa-sha2-512", 64),
    METHOD("rsa-sha2-256", 32),
    METHOD("ssh-rsa", 20),
    METHOD("ssh-ed25519" CERT, 32),
    METHOD("ecdsa-sha2-nistp256" CERT, 32),
    METHOD("ecdsa-sha2-nistp384" CERT, 48),
    METHOD("ecdsa-sha2-nistp521" CERT, 64),
    METHOD("rsa-sha2-512" CERT, 64),
    METHOD("rsa-sha2-256" CERT, 32),
    METHOD("ssh-rsa" CERT, 20), /* SHA-1: offered where it is asked for by name only */
};

/* libssh2 lists what it has by this table; what is not in it does not exist for it. */
static const LIBSSH2_HOSTKEY_METHOD *table[] = {
    &methods[0], &methods[1], &methods[2], &methods[3],  &methods[4],  &methods[5],  &methods[6],
    &methods[7], &methods[8], &methods[9], &methods[10], &methods[11], &methods[12], &methods[13],
    NULL,
};

const LIBSSH2_HOSTKEY_METHOD **__wrap_libssh2_hostkey_methods(void) {
  return table;
}

#else
typedef int sl_no_hostkey_method; /* an empty file is no C */
#endif
