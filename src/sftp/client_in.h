/* What client.c and client_in.c share. */
#ifndef SL_SFTP_CLIENT_IN_H
#define SL_SFTP_CLIENT_IN_H

#include "sftp/client.h"

sl_sftp_slot *sl_sftp_slot_of(sl_sftp_client *c, uint32_t id); /* NULL: no such request */
/* Ends a tenancy; returns the request, NULL for a ghost. */
sl_sftp_request *sl_sftp_free_slot(sl_sftp_client *c, sl_sftp_slot *s);

#endif
