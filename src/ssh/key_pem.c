/* Decryption of PEM ("Proc-Type: 4,ENCRYPTED") and PKCS#8 (EncryptedPrivateKeyInfo) files by
   libcrypto. The passphrase always comes from the caller, never from a terminal; what a file may
   cost is bounded before libcrypto is asked. */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <string.h>

#include "ssh/key_parts.h"

/* Seconds of work. `openssl pkcs8` writes 2048 iterations, careful people half a million. */
#ifndef SL_PBKDF2_ITERATIONS_MAX
#define SL_PBKDF2_ITERATIONS_MAX 5000000
#endif
/* N r p; the default is 2^17. */
#ifndef SL_SCRYPT_WORK_MAX
#define SL_SCRYPT_WORK_MAX (1 << 22)
#endif

static int give_passphrase(char *buf, int size, int writing, void *passphrase) {
  const sl_span *pass = passphrase;
  (void)writing;
  if (pass->n > (size_t)size) return -1;
  sl_put_bytes((unsigned char *)buf, pass->p, pass->n);
  return (int)pass->n;
}

/* DES and RC2 live in OpenSSL 3's legacy provider, which is not loaded. */
static bool cipher_available(const char *name) {
  EVP_CIPHER *cipher = name ? EVP_CIPHER_fetch(NULL, name, NULL) : NULL;
  EVP_CIPHER_free(cipher);
  return cipher != NULL;
}

static int refuse_cipher(sl_err *err) {
  return sl_err_set(err, SL_AUTH, "UNSUPPORTED", 0,
                    "the key's encryption is not supported: too old a cipher, or too many "
                    "iterations");
}

int sl_pem_decrypt(char *headers, unsigned char *data, size_t *len, sl_span pass, sl_err *err) {
  EVP_CIPHER_INFO info;
  long n = (long)*len;
  if (!PEM_get_EVP_CIPHER_INFO(headers, &info)) {
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_REASON(code) == PEM_R_UNSUPPORTED_ENCRYPTION) return refuse_cipher(err);
    sl_key_bad_format(err, "the key's Proc-Type and DEK-Info lines are damaged");
    return -1;
  }
  if (!info.cipher) return 0;
  if (!cipher_available(EVP_CIPHER_get0_name(info.cipher))) return refuse_cipher(err);
  if (!pass.p) return sl_key_need_passphrase(err), -1;
  if (!PEM_do_header(&info, data, &n, give_passphrase, &pass) || n < 0)
    return sl_key_wrong_passphrase(err), -1;
  *len = (size_t)n;
  return 0;
}

static bool within(const ASN1_INTEGER *number, uint64_t max, uint64_t *value) {
  return ASN1_INTEGER_get_uint64(value, number) == 1 && *value >= 1 && *value <= max;
}

static void *unpack(const X509_ALGOR *algorithm, const ASN1_ITEM *item) {
  int type;
  const void *value;
  X509_ALGOR_get0(NULL, &type, &value, algorithm);
  return type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, item) : NULL;
}

static int algorithm_nid(const X509_ALGOR *algorithm) {
  const ASN1_OBJECT *object;
  X509_ALGOR_get0(&object, NULL, NULL, algorithm);
  return OBJ_obj2nid(object);
}

static bool pbkdf2_bounded(const X509_ALGOR *kdf) {
  uint64_t iterations;
  PBKDF2PARAM *p = unpack(kdf, ASN1_ITEM_rptr(PBKDF2PARAM));
  bool ok = p && within(p->iter, SL_PBKDF2_ITERATIONS_MAX, &iterations);
  PBKDF2PARAM_free(p);
  return ok;
}

static bool scrypt_bounded(const X509_ALGOR *kdf) {
  const uint64_t max = SL_SCRYPT_WORK_MAX;
  uint64_t n, r, p;
  SCRYPT_PARAMS *s = unpack(kdf, ASN1_ITEM_rptr(SCRYPT_PARAMS));
  bool ok = s && within(s->costParameter, max, &n) && within(s->blockSize, max / n, &r) &&
            within(s->parallelizationParameter, max / n / r, &p);
  SCRYPT_PARAMS_free(s);
  return ok;
}

/* PKCS#5 version 2: a key derivation and a cipher, each with parameters. */
static bool pbes2_acceptable(const X509_ALGOR *algorithm) {
  PBE2PARAM *p = unpack(algorithm, ASN1_ITEM_rptr(PBE2PARAM));
  if (!p) return false;
  int kdf = algorithm_nid(p->keyfunc);
  bool ok = cipher_available(OBJ_nid2sn(algorithm_nid(p->encryption))) &&
            ((kdf == NID_id_pbkdf2 && pbkdf2_bounded(p->keyfunc)) ||
             (kdf == NID_id_scrypt && scrypt_bounded(p->keyfunc)));
  PBE2PARAM_free(p);
  return ok;
}

/* PKCS#5 version 1 and PKCS#12: the algorithm names cipher and digest at once. */
static bool pbes1_acceptable(const X509_ALGOR *algorithm, int nid) {
  int cipher, digest;
  uint64_t iterations;
  if (!EVP_PBE_find(EVP_PBE_TYPE_OUTER, nid, &cipher, &digest, NULL)) return false;
  PBEPARAM *p = unpack(algorithm, ASN1_ITEM_rptr(PBEPARAM));
  bool ok = p && within(p->iter, SL_PBKDF2_ITERATIONS_MAX, &iterations) &&
            cipher_available(OBJ_nid2sn(cipher));
  PBEPARAM_free(p);
  return ok;
}

static sl_key *decrypt_pkcs8(const X509_ALGOR *algorithm, const ASN1_OCTET_STRING *secret,
                             sl_span pass, sl_err *err) {
  unsigned char *plain = NULL;
  int plain_len = 0;
  if (pass.n > INT_MAX / 4 ||
      !PKCS12_pbe_crypt(algorithm, (const char *)pass.p, (int)pass.n, ASN1_STRING_get0_data(secret),
                        ASN1_STRING_length(secret), &plain, &plain_len, 0))
    return sl_key_wrong_passphrase(err);
  sl_key *key = sl_key_from_pkcs8_der((sl_span){plain, (size_t)plain_len}, err);
  OPENSSL_clear_free(plain, (size_t)plain_len);
  /* One wrong passphrase of 256 leaves padding that looks right, and garbage. */
  if (!key && strcmp(err->name, "BAD_FORMAT") == 0) sl_key_wrong_passphrase(err);
  return key;
}

sl_key *sl_key_from_encrypted_pkcs8(sl_span der, sl_span pass, sl_err *err) {
  const unsigned char *p = der.p;
  const X509_ALGOR *algorithm;
  const ASN1_OCTET_STRING *secret;
  sl_key *key = NULL;
  X509_SIG *sig = d2i_X509_SIG(NULL, &p, (long)der.n);
  if (!sig || p != der.p + der.n) {
    sl_key_bad_format(err, "the key's PKCS#8 structure is damaged");
  } else {
    X509_SIG_get0(sig, &algorithm, &secret);
    int nid = algorithm_nid(algorithm);
    if (nid == NID_pbes2 ? !pbes2_acceptable(algorithm) : !pbes1_acceptable(algorithm, nid))
      refuse_cipher(err);
    else if (!pass.p)
      sl_key_need_passphrase(err);
    else
      key = decrypt_pkcs8(algorithm, secret, pass, err);
  }
  X509_SIG_free(sig);
  return key;
}
