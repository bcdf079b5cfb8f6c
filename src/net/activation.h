/* activation: the socket that systemd listens on for a service (systemd.socket(5), sd_listen_fds(3)). */
#ifndef NET_ACTIVATION_H
#define NET_ACTIVATION_H

#include <stdbool.h>

#include "vpcflowd/error.h"

/* *ret_fd: a listening TCP socket, non-blocking, now the caller's; -1 if systemd gave none. False with
 * ret_err: it gave something else. The environment is cleared: a second call finds none. */
bool activation_socket(int *ret_fd, struct error *ret_err);

#endif
