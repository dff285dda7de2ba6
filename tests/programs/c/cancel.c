/* A thread is cancelled while it signs through the engine: it ends, and the program goes on.
 *
 * cancel FILE: the reference file of a private key.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#define _DEFAULT_SOURCE
#include <openssl/engine.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                  \
    do {                                                                 \
        if (!(condition)) {                                              \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
            exit(1);                                                     \
        }                                                                \
    } while (0)

static RSA *key;
static sem_t begun;

static int signs(void) {
    unsigned char data[20] = {0}, signature[512];
    return RSA_private_encrypt(sizeof data, data, signature, key, RSA_PKCS1_PADDING);
}

/* The first signature waits for a connection, TLS and the login. Between signatures it may end. */
static void *thread(void *unused) {
    (void)unused;
    sem_post(&begun);
    for (;;) {
        MUST(signs() > 0);
        pthread_testcancel();
    }

}

int main(int argc, char **argv) {
    MUST(argc == 2 && sem_init(&begun, 0, 0) == 0);
    ENGINE *engine = ENGINE_by_id("cloudhsm");
    MUST(engine != NULL && ENGINE_init(engine) && ENGINE_set_default(engine, ENGINE_METHOD_RSA));
    FILE *file = fopen(argv[1], "r");
    MUST(file != NULL);
    key = PEM_read_RSAPrivateKey(file, NULL, NULL, NULL);
    MUST(key != NULL);
    for (int i = 0; i < 20; i++) {
        pthread_t running;
        void *ended;
        MUST(pthread_create(&running, NULL, thread, NULL) == 0 && sem_wait(&begun) == 0);
        MUST(pthread_cancel(running) == 0 && pthread_join(running, &ended) == 0 && ended == PTHREAD_CANCELED);
    }
    MUST(signs() > 0);
    printf("done\n");
    return 0;
}
