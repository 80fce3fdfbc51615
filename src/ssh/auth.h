/* What authentication is in the middle of. It is kept with the session, not in an operation: one attempt may take
   several (prompts, signatures), and libssh2 wants the same arguments each time. */
#ifndef SL_AUTH_H
#define SL_AUTH_H

#include "base/buf.h"
#include "engine/fibre.h"
#include "loop/op.h"

struct sl_session;
struct sl_key;

typedef struct sl_prompt {
  char *text;
  size_t len;
  bool echo;
} sl_prompt;

typedef struct sl_auth {
  sl_op *op; /* the operation of the attempt under way, until it is delivered */
  int (*call)(struct sl_session *s); /* the attempt under way */
  char *user, *blob;                 /* blob: public key or certificate */
  size_t user_len, blob_len;
  struct sl_key *key; /* signs here, when set */
  unsigned char *to_sign, *signature;
  size_t to_sign_len, signature_len;
  bool sign_asked, sign_refused, aborting, partial, succeeded;
  char methods[512]; /* "that can continue", from the last failure; "" before one */
  sl_buf banner;
  /* prompts: a parked fibre and what it asks */
  sl_fibre *fibre;
  int (*fibre_call)(struct sl_session *s);
  int fibre_rc;
  char *password;
  size_t password_len;
  char *name, *instruction;
  sl_prompt *prompts;
  int prompts_count;
  char **answers;
  size_t *answer_lens;
  int answers_count, answers_used;
  bool asks, asks_new_password;
} sl_auth;

void sl_auth_packet(struct sl_session *s, const unsigned char *data, size_t len); /* of RFC 4252 */
void sl_auth_clear(struct sl_session *s);     /* forget secrets and prompts */
void sl_auth_orphan(struct sl_session *s);    /* it is going: a result that is on its way becomes "closed" */
void sl_auth_end_fibre(struct sl_session *s); /* the wire is dead: let a parked callback run to its end */

#endif
