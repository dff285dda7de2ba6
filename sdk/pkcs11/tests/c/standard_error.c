/* A program whose standard error comes and goes, with a library that logs there: a line for each call. */
#define _DEFAULT_SOURCE
#define FAILURES stdout
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void call(void) {
    CK_SESSION_HANDLE session;
    CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
    CHECK(p11->C_CloseSession(session), CKR_OK);
}

/* Bytes of the file that descriptor 2 is. */
static long written(void) {
    struct stat status;
    MUST(fstat(2, &status) == 0);
    return (long)status.st_size;
}

/* Nobody reads any more, and the signal that the kernel has for that would end this program. */
static void without_a_reader(void) {
    char line[256];
    int pipes[2];
    ssize_t length;

    MUST(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    MUST(pipe(pipes) == 0 && dup2(pipes[1], 2) == 2 && close(pipes[1]) == 0);
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    length = read(pipes[0], line, sizeof line - 1);
    MUST(length > 0);
    line[length] = '\0';
    MUST(strstr(line, " DEBUG C_Initialize: CKR_OK\n") != NULL);
    MUST(close(pipes[0]) == 0);
    call();
    /* Nor does the library keep the pipe open for those who wait for its end. */
    MUST(pipe(pipes) == 0 && dup2(pipes[1], 2) == 2 && close(pipes[1]) == 0);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    MUST(close(2) == 0);
    while ((length = read(pipes[0], line, sizeof line)) > 0) {
    }
    MUST(length == 0 && close(pipes[0]) == 0);
}

/* What has the number 2 by accident, in a program that closed its standard error, gets no line. */
static void something_else(void) {
    int sockets[2];
    char byte;

    MUST(open("data", O_RDWR | O_CREAT | O_TRUNC, 0600) == 2);
    call();
    MUST(written() == 0 && close(2) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0 && sockets[0] == 2);
    call();
    MUST(recv(sockets[1], &byte, 1, MSG_DONTWAIT) == -1);
    MUST(close(2) == 0 && close(sockets[1]) == 0);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
    /* Closed from the beginning. */
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    call();
    MUST(open("data", O_RDWR) == 2);
    call();
    MUST(written() == 0 && close(2) == 0);
}

/* What a server puts there as its log does. */
static void a_log(void) {
    MUST(open("server.log", O_WRONLY | O_APPEND | O_CREAT | O_TRUNC, 0600) == 2);
    call();
    MUST(written() > 0);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
}

int main(int argc, char **argv) {
    load(argv[argc - 1]);
    without_a_reader();
    something_else();
    a_log();
    printf("done\n");
    return 0;
}
