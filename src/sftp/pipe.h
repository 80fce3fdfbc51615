/* What joins an SFTP client to the channel it speaks through: the only file of this folder that
   knows channels. Bytes that come are fed to the client, its output is written within the peer's
   window. */
#ifndef SL_SFTP_PIPE_H
#define SL_SFTP_PIPE_H

#include <stdbool.h>
#include <stddef.h>

struct sl_channel;
struct sl_strand;
struct sl_sftp;

typedef struct sl_sftp_pipe {
  struct sl_strand *strand; /* NULL: not joined, or no longer */
  size_t promised;          /* bytes that libssh2 wants to see again */
} sl_sftp_pipe;

/* False: no memory. The channel's reads and writes are the pipe's from now on. */
bool sl_sftp_pipe_start(struct sl_sftp *s, struct sl_channel *ch);
void sl_sftp_pipe_wake(struct sl_sftp *s); /* there is output, or the client has failed */

#endif
