#include "net/activation.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static bool socket_has(int fd, int option, int wanted)
{
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

static bool is_listening_tcp(int fd)
{
    return socket_has(fd, SO_TYPE, SOCK_STREAM) && socket_has(fd, SO_ACCEPTCONN, 1) &&
           (socket_has(fd, SO_DOMAIN, AF_INET) || socket_has(fd, SO_DOMAIN, AF_INET6));
}

bool activation_socket(int *ret_fd, struct error *ret_err)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    bool ours = pid != NULL && count != NULL && strtol(pid, NULL, 10) == (long)getpid();
    bool one = ours && strcmp(count, "1") == 0;

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!ours) {
        *ret_fd = -1;
        return true;
    }
    if (!one || !is_listening_tcp(FIRST_FD)) {
        error_set(
            ret_err, ERROR_INTERNAL,
            "[listener] systemd gave something other than one listening TCP socket: have one ListenStream= "
            "with a port, and Accept=no, in the socket unit");
        return false;
    }
    fcntl(FIRST_FD, F_SETFL, fcntl(FIRST_FD, F_GETFL) | O_NONBLOCK);
    fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
    *ret_fd = FIRST_FD;
    return true;
}
